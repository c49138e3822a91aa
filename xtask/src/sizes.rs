//! How long files and functions are. Tests and generated files do not count.
//!
//! The scanner knows comments, strings and character literals, and counts braces; that is all Rust it knows.

use std::path::Path;

use crate::workspace::{files, read, verdict};

/// Lines of a file above which one should think.
const FILE_WARN: usize = 600;
/// Lines of a file that are too many.
const FILE_MOST: usize = 800;
/// Lines of a function that are too many.
const FUNCTION_MOST: usize = 80;

/// Lists offenders.
pub fn run() -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for path in files(".", "rs")?.iter().filter(|path| !is_test(path)) {
        let text = read(path)?;
        let text = without_tests(&text);
        let (shown, lines) = (path.strip_prefix(".").unwrap_or(path).display(), text.lines().count());
        if lines > FILE_MOST {
            problems.push(format!("{shown} has {lines} lines, at most {FILE_MOST}"));
        } else if lines > FILE_WARN {
            eprintln!("sizes: {shown} has {lines} lines: think of splitting it");
        }
        for function in functions(text).into_iter().filter(|function| function.lines > FUNCTION_MOST) {
            let Function { name, line, lines } = function;
            problems.push(format!("{shown}:{line}: `{name}` has {lines} lines, at most {FUNCTION_MOST}"));
        }
    }
    verdict("sizes", &problems)
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

/// A test module inside a file stands at its end.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at])
}

#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Every function with a body, from its `fn` to its closing brace.
fn functions(text: &str) -> Vec<Function> {
    let code = blank(text);
    let mut found = Vec::new();
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    let mut waiting: Option<(String, usize)> = None;
    let (mut depth, mut parens, mut line, mut word) = (0_usize, 0_usize, 1, String::new());
    let mut after_fn = false;
    for c in code.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        let ended = std::mem::take(&mut word);
        if after_fn && !ended.is_empty() {
            (waiting, parens) = (Some((ended.clone(), line)), 0);
        }
        after_fn = ended == "fn" || (after_fn && ended.is_empty() && c.is_whitespace());
        match c {
            '\n' => line += 1,
            '(' | '[' => parens += 1,
            ')' | ']' => parens = parens.saturating_sub(1),
            ';' if parens == 0 => waiting = None,
            '{' => {
                if let Some((name, line)) = waiting.take_if(|_| parens == 0) {
                    open.push((name, line, depth));
                }
                depth += 1;
            }
            '}' => {
                depth = depth.saturating_sub(1);
                if let Some((name, start, _)) = open.pop_if(|(_, _, at)| *at == depth) {
                    found.push(Function { name, line: start, lines: line - start + 1 });
                }
            }
            _ => {}
        }
    }
    found
}

/// The text with everything inside comments, strings and character literals made blank; lines stay.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let before = out.chars().next_back();
        let length = skip(rest, before);
        if length == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    out
}

/// How many bytes of a comment or literal start here; 0 if none does.
fn skip(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"').unwrap_or(rest.len());
    }
    if let Some(inner) = rest.strip_prefix('\'') {
        // A lifetime has no closing quote after one (escaped) character.
        let plain = inner.chars().next().is_some_and(|c| inner[c.len_utf8()..].starts_with('\''));
        return if plain || inner.starts_with('\\') { quoted(rest, '\'').unwrap_or(0) } else { 0 };
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).filter(|_| !in_word);
    let Some(raw) = raw else { return 0 };
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if !raw[hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - raw.len() + hashes + 1;
    rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
}

/// Length of a literal with escapes, quotes included.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_lengths() {
        let text = "fn one() {}\ntrait T { fn none(x: [u8; 4]) -> u8; }\nimpl S {\n    fn three<'a>(x: &'a str) {\n        \
                    let _ = ('{', \"{\\\"\", r#\"{\"#); // {\n    }\n}\nfn outer() {\n    fn inner() {\n    }\n}\n";
        let found: Vec<_> = functions(text).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        let named = |name: &str, line, lines| (name.to_owned(), line, lines);
        assert_eq!(found, [named("one", 1, 1), named("three", 4, 3), named("inner", 9, 2), named("outer", 8, 4)]);
    }
}
