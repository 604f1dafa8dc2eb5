//! Module names of PyTorch, as other tools match them, to selectors.
//!
//! A target is the name of a module, the class of modules, or `re:` with a regular expression that module names match from
//! their begin. What it matches is every weight of these modules and below.

/// The selector of a target's weights, or why there is none.
pub(super) fn selector(target: &str) -> Result<String, String> {
    match target {
        "Linear" | "__ALL__" | "__ALL_PRUNABLE__" => return Ok("**".into()),
        "lm_head" | "re:.*lm_head" | "re:.*lm_head$" => return Ok(glob("*lm_head")),
        _ => {}
    }
    let Some(pattern) = target.strip_prefix("re:") else {
        return match target.contains('.') {
            true => Ok(glob(target)),
            false if target.ends_with("DecoderLayer") || target.ends_with("Block") => Ok("layers[*]".into()),
            false => Err(format!("modules of class `{target}` are not known by their class here")),
        };
    };
    let globs: Result<Vec<String>, String> = alternatives(pattern)?.iter().map(|it| as_glob(it)).collect();
    Ok(globs?.iter().map(|it| glob(it)).collect::<Vec<_>>().join(", "))
}

/// `tensor("…")` of a module's weight, and of the weights of modules below it.
fn glob(module: &str) -> String {
    match module.trim_end_matches('*') {
        "" => "**".into(),
        _ if module.ends_with('*') && !module.ends_with(".*") => format!("tensor(\"{module}\")"),
        // A layer, not a matrix: its weights lie below it.
        name if name.ends_with(|last: char| last.is_ascii_digit()) || module.ends_with(".*") => {
            format!("tensor(\"{}.*\")", module.trim_end_matches(".*").trim_end_matches('.'))
        }
        _ => format!("tensor(\"{module}.weight\")"),
    }
}

/// A pattern's alternatives, `(a|b)` written out.
fn alternatives(pattern: &str) -> Result<Vec<String>, String> {
    let Some(open) = pattern.find('(') else { return Ok(vec![pattern.to_owned()]) };
    let close = pattern.find(')').filter(|&close| close > open).ok_or_else(|| unreadable(pattern))?;
    let inner = pattern[open + 1..close].trim_start_matches("?:");
    if inner.contains('(') || inner.contains('?') || pattern[close + 1..].starts_with(['*', '+', '?', '{']) {
        return Err(unreadable(pattern));
    }
    let mut all = Vec::new();
    for choice in inner.split('|') {
        all.extend(alternatives(&format!("{}{choice}{}", &pattern[..open], &pattern[close + 1..]))?);
    }
    Ok(all)
}

/// A regular expression of literals, digits and runs as a glob.
fn as_glob(pattern: &str) -> Result<String, String> {
    let mut glob = String::new();
    let ends = pattern.ends_with('$');
    let mut rest = pattern.trim_start_matches('^').trim_end_matches('$');
    while let Some(first) = rest.chars().next() {
        let (taken, meant) = if let Some(run) =
            ["\\d+", "\\d*", "[0-9]+", "[0-9]*", ".*", ".+", "\\w+", "\\w*"]
                .iter()
                .find(|run| rest.starts_with(**run))
        {
            (run.len(), "*".to_owned())
        } else if rest.starts_with("\\.") {
            (2, ".".to_owned())
        } else if first.is_ascii_alphanumeric() || matches!(first, '_' | '-' | '.') {
            (1, first.to_string())
        } else {
            return Err(unreadable(pattern));
        };
        glob.push_str(&meant);
        rest = &rest[taken..];
    }
    let numbered =
        ends && (pattern.ends_with("\\d+$") || pattern.ends_with("\\d*$") || pattern.ends_with("[0-9]+$"));
    Ok(if numbered { format!("{glob}.*") } else { glob })
}

fn unreadable(pattern: &str) -> String {
    format!(
        "of the pattern `{pattern}` no selector can be made: literals, `.*`, `\\d+` and `(a|b)` can be told"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_become_selectors() {
        for (target, expected) in [
            ("Linear", "**"),
            ("lm_head", "tensor(\"*lm_head.weight\")"),
            ("re:.*lm_head", "tensor(\"*lm_head.weight\")"),
            ("re:.*q_proj", "tensor(\"*q_proj.weight\")"),
            ("re:.*\\.(gate|up)_proj$", "tensor(\"*.gate_proj.weight\"), tensor(\"*.up_proj.weight\")"),
            ("re:model.layers.\\d*$", "tensor(\"model.layers.*\")"),
            ("re:model.layers.0.*", "tensor(\"model.layers.0*\")"),
            ("model.layers.0.self_attn.q_proj", "tensor(\"model.layers.0.self_attn.q_proj.weight\")"),
            ("LlamaDecoderLayer", "layers[*]"),
        ] {
            assert_eq!(selector(target).as_deref(), Ok(expected), "{target}");
        }
        assert!(selector("re:a(?!b)").is_err());
        assert!(selector("Conv2d").is_err());
    }
}
