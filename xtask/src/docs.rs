//! What the documents promise: commands that exist, files that exist, and nothing that does not belong in them.

use std::path::Path;

use crate::workspace::{files, read, root, verdict};

/// Folders and files that are read.
const EXTENSIONS: [&str; 4] = ["md", "rs", "toml", "yaml"];

/// Words that have no place in this repository, split so that this file does not contain them: leftovers of work in
/// progress, paths of one person's machine.
const FORBIDDEN: [(&str, &str); 7] =
    [("TO", "DO"), ("FIX", "ME"), ("XX", "X:"), ("lorem", " ipsum"), ("/ro", "ot/"), ("/wo", "rk/"), ("/ho", "me/")];

/// Checks documents and sources.
pub fn run() -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for extension in EXTENSIONS {
        for path in files(".", extension)? {
            let text = read(&path)?;
            forbidden(&path, &text, &mut problems);
            if extension == "md" {
                commands(&path, &text, &mut problems)?;
                links(&path, &text, &mut problems);
            }
        }
    }
    verdict("docs", &problems)
}

fn forbidden(path: &Path, text: &str, problems: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        for (a, b) in FORBIDDEN {
            if line.contains(&format!("{a}{b}")) {
                problems.push(format!("{}:{}: contains `{a}{b}`", path.display(), number + 1));
            }
        }
    }
}

/// Every `cargo xtask X` and `sealpost X` (also behind `cargo run ... --`) in a code block must exist.
fn commands(path: &Path, text: &str, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let main = read(Path::new("xtask/src/main.rs"))?;
    let args = read(Path::new("cli/src/args.rs")).unwrap_or_default().to_lowercase();
    for (number, line) in code_lines(text) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after =
            |at: usize| words.get(at + 1).copied().filter(|w| w.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        let mut wrong = |what: String| problems.push(format!("{}:{number}: there is no `{what}`", path.display()));
        for (at, word) in words.iter().enumerate() {
            let sub = after(at).filter(|sub| !sub.starts_with('-'));
            let Some(sub) = sub else { continue };
            let runs = words.starts_with(&["cargo", "run"]) && *word == "--";
            if *word == "xtask" && words.get(at.wrapping_sub(1)) == Some(&"cargo") {
                if !main.contains(&format!("\"{sub}\"")) {
                    wrong(format!("cargo xtask {sub}"));
                }
            } else if (at == 0 && (*word == "sealpost" || word.ends_with("/sealpost"))) || runs {
                let variant = sub.replace('-', "");
                if !args.is_empty() && !has_variant(&args, &variant) {
                    wrong(format!("sealpost {sub}"));
                }
            }
        }
    }
    Ok(())
}

/// True if the command line has a subcommand of that name: a variant of an enum, in lower case.
fn has_variant(args: &str, variant: &str) -> bool {
    args.lines().map(str::trim).any(|line| line.starts_with(&format!("{variant}(")) || line == format!("{variant},"))
}

/// Lines inside fenced code blocks that are commands, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            return None;
        }
        let command = line.trim().trim_start_matches("$ ");
        (inside && !command.starts_with('#')).then_some((number + 1, command))
    })
}

/// Relative links must lead somewhere.
fn links(path: &Path, text: &str, problems: &mut Vec<String>) {
    let folder = root().join(path).parent().map(Path::to_owned).unwrap_or_default();
    for piece in text.split("](").skip(1) {
        let Some(target) = piece.split([')', '#']).next() else { continue };
        let outside =
            target.is_empty() || target.contains("://") || target.starts_with("mailto:") || target.contains(' ');
        if !outside && !folder.join(target).exists() {
            problems.push(format!("{}: links to `{target}`, which is not there", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_in_code_blocks_count() {
        let text = "sealpost fly\n```sh\n$ sealpost up -f x\n# sealpost dance\n```\n";
        assert_eq!(code_lines(text).collect::<Vec<_>>(), [(3, "sealpost up -f x")]);
    }

    #[test]
    fn a_command_that_does_not_exist_is_found() {
        let mut problems = Vec::new();
        commands(Path::new("README.md"), "```\ncargo xtask fly\ncargo xtask gen --check\n```\n", &mut problems)
            .unwrap();
        assert_eq!(problems, ["README.md:2: there is no `cargo xtask fly`"]);
        assert!(has_variant("    up(up),\n", "up") && !has_variant("    update(up),\n", "up"));
    }
}
