//! A directory of its own for a test, and the program run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An empty directory, but for `models`, which leads to the test models of the repository.
pub struct Place {
    dir: tempfile::TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directories can be made");
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
        std::os::unix::fs::symlink(models, dir.path().join("models")).expect("the directory is empty");
        Self { dir }
    }

    /// The same with a recipe in `x.tamis`.
    pub fn with(recipe: &str) -> Self {
        let place = Self::new();
        place.write("x.tamis", recipe);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it lies in the directory"))
            .expect("directories can be made");
        fs::write(path, content).expect("files can be written");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the program wrote this file")
    }

    /// Names in a directory, sorted.
    pub fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).expect("a directory").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// The program with nothing of the outer environment that could matter; its cache lies in the directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tamis"));
        command.args(arguments).current_dir(self.dir.path());
        command.env("HOME", self.dir.path()).env("XDG_CACHE_HOME", self.path("cache"));
        // A plan says how much memory it takes, which grows with the number of threads.
        command.env("RAYON_NUM_THREADS", "2");
        for name in ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "NO_COLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs `tamis` with the words of a line.
    pub fn tamis(&self, line: &str) -> Ran {
        let arguments: Vec<&str> = line.split(' ').collect();
        ran(self.command(&arguments).output().expect("the program starts"))
    }
}

pub fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ran {
    /// The one object that was printed.
    pub fn json(&self) -> serde_json::Value {
        let object: serde_json::Value = serde_json::from_str(&self.stdout).expect("one JSON object");
        assert_eq!(object["schema"], "tamis/1");
        object
    }

    /// Ended well, without a word but the answer, and what is said to people who wait on a slow machine.
    pub fn fine(self) -> Self {
        let said: Vec<&str> = self.stderr.lines().filter(|line| !line.ends_with(" …")).collect();
        assert_eq!((self.code, said), (Some(0), Vec::new()), "{}", self.stdout);
        self
    }

    /// Ended with that exit code and that diagnostic on standard error.
    pub fn fails(self, exit: i32, code: &str) -> Self {
        assert_eq!(self.code, Some(exit), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(&format!("error[{code}]")), "{}", self.stderr);
        self
    }
}
