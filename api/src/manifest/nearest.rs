//! "Did you mean": the name that is closest to a misspelled one.

/// What to say of a name that does not exist, given those that do.
pub(super) fn hint<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let close = names.iter().map(|name| (distance(wrong, name), *name)).min();
    match close {
        Some((far, name)) if far <= (wrong.chars().count() / 3).max(2) => format!("did you mean `{name}`?"),
        _ if names.is_empty() => "remove it".into(),
        _ => format!("there are {}", names.join(", ")),
    }
}

/// Levenshtein distance, case ignored.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let names = ["address", "serverRef", "passwordSecretRef"];
        assert_eq!(hint("adress", names), "did you mean `address`?");
        assert_eq!(hint("serverref", names), "did you mean `serverRef`?");
        assert_eq!(hint("passwordSecret", names), "did you mean `passwordSecretRef`?");
        assert_eq!(hint("colour", names), "there are address, serverRef, passwordSecretRef");
    }
}
