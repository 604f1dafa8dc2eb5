//! The command line: arguments become a command, its answer goes to stdout, everything else to stderr.

mod answer;
mod check;
mod diff;
mod doc;
mod eval;
mod explain;
mod export;
mod fmt;
mod import;
mod inspect;
mod interrupt;
mod lsp;
mod new;
mod plan;
mod progress;
mod rerun;
mod run;
mod settings;
mod shell;
mod table;
mod terminal;
mod time;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use answer::{Answer, Format, Session};
use clap::{Parser, Subcommand};
use tamis::diagnostic::Diagnostics;

#[derive(Debug, Parser)]
#[command(name = "tamis", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 the recipe is wrong or an expectation failed, 2 wrong usage, \
    3 an input could not be read, 4 an output could not be written.";

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::Inspect),
    Check(check::Check),
    Plan(plan::PlanCommand),
    Run(run::Run),
    Diff(diff::Diff),
    Verify(verify::Verify),
    Eval(eval::Eval),
    Export(export::Export),
    Time(time::Time),
    Fmt(fmt::Fmt),
    Doc(doc::Doc),
    Explain(explain::Explain),
    New(new::New),
    Import(import::Import),
    Lsp(lsp::Lsp),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Runs one invocation.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let command = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command,
        Err(refused) => {
            // Help and version come as errors too, with exit code 0; they go to stdout.
            let _ = refused.print();
            return ExitCode::from(if refused.use_stderr() { 2 } else { 0 });
        }
    };
    if let Command::Lsp(lsp) = command {
        return lsp.run();
    }
    let mut session = Session::new();
    let (answered, format) = command.run(&mut session);
    interrupt::settle();
    ExitCode::from(session.finish(answered, format))
}

impl Command {
    fn run(&self, session: &mut Session) -> (Result<Answer, Diagnostics>, Format) {
        match self {
            Command::Inspect(inspect) => (inspect.run(session), inspect.format),
            Command::Check(check) => (check.run(session), check.format),
            Command::Plan(plan) => (plan.run(session), plan.format),
            Command::Run(run) => (run.run(session), run.format),
            Command::Diff(diff) => (diff.run(session), diff.format),
            Command::Verify(verify) => (verify.run(session), verify.format),
            Command::Eval(eval) => (eval.run(session), eval.format),
            Command::Export(export) => (export.run(session), export.format),
            Command::Time(time) => (time.run(session), time.format),
            Command::Fmt(fmt) => (fmt.run(session), fmt.format),
            Command::Doc(doc) => (doc.run(session), doc.format),
            Command::Explain(explain) => (explain.run(session), explain.format),
            Command::New(new) => (new.run(session), new.format),
            Command::Import(import) => (import.run(session), import.format),
            Command::Completions(completions) => (Ok(completions.run()), Format::Human),
            Command::Man(man) => (man.run(), Format::Human),
            Command::Lsp(_) => unreachable!("the server has no answer, and was started instead"),
        }
    }
}
