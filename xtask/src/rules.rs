//! `docs/rules.md`: every rule has a number of its own and names tests, and each of them exists.

use std::collections::HashSet;
use std::path::Path;

use crate::workspace::{files, read, verdict};

/// The list of rules.
const RULES: &str = "docs/rules.md";
/// Attributes that make the next function a test.
const TESTS: [&str; 2] = ["#[test]", "#[tokio::test"];

/// Checks the list.
pub fn run() -> anyhow::Result<()> {
    let mut tests = HashSet::new();
    for path in files(".", "rs")? {
        tests.extend(tests_of(&read(&path)?));
    }
    verdict("rules", &problems(&read(Path::new(RULES))?, &tests))
}

fn problems(text: &str, tests: &HashSet<String>) -> Vec<String> {
    let (mut problems, mut numbers) = (Vec::new(), HashSet::new());
    let mut listed = false;
    for (number, cells) in text.lines().filter_map(row) {
        listed = true;
        if !numbers.insert(number) {
            problems.push(format!("{RULES}: {number} is there twice"));
        }
        let named: Vec<&str> = cells.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            problems.push(format!("{RULES}: {number} names no test"));
        }
        let missing = named.iter().filter(|name| !tests.contains(**name));
        problems.extend(missing.map(|name| format!("{RULES}: {number}: there is no test `{name}`")));
    }
    if !listed {
        problems.push(format!("{RULES}: there are no rules"));
    }
    problems
}

/// The number of a rule and its tests; none for other lines.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let (number, _, tests) = (cells.next()?, cells.next()?, cells.next()?);
    let digits = number.strip_prefix(|c: char| c.is_ascii_uppercase())?;
    (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())).then_some((number, tests))
}

/// Names of the tests of a source file. Within `proptest!` a test is written as any other.
fn tests_of(source: &str) -> Vec<String> {
    let (mut found, mut marked) = (Vec::new(), false);
    for line in source.lines().map(str::trim) {
        if TESTS.iter().any(|attribute| line.starts_with(attribute)) {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
            && std::mem::take(&mut marked)
        {
            found.extend(rest.split('(').next().map(str::to_owned));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_a_function_with_its_attribute() {
        let source =
            "#[test]\n#[ignore = \"x\"]\nfn one() {}\nfn two() {}\n    #[tokio::test]\n    async fn three() {}\n";
        assert_eq!(tests_of(source), ["one", "three"]);
    }

    #[test]
    fn a_rule_without_a_test_that_exists_is_found() {
        let tests = HashSet::from(["there".to_owned()]);
        let text = "| | rule | tests |\n|---|---|---|\n| S1 | a | `there` |\n| S1 | b | `away` |\n| S2 | c | later |\n";
        assert_eq!(
            problems(text, &tests),
            [
                "docs/rules.md: S1 is there twice",
                "docs/rules.md: S1: there is no test `away`",
                "docs/rules.md: S2 names no test"
            ]
        );
        assert_eq!(problems("no table", &tests), ["docs/rules.md: there are no rules"]);
    }
}
