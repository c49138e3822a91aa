//! Finds the line of a field, for error messages. Knows block style YAML; within flow style the line of the nearest
//! field outside it is given.

/// A file's lines, by document.
pub(super) struct Source<'a> {
    /// Per document: the number of its first line, from 1, and its lines.
    documents: Vec<(usize, Vec<&'a str>)>,
}

impl<'a> Source<'a> {
    /// Splits a file at its `---` lines, as the YAML reader does.
    pub(super) fn new(text: &'a str) -> Self {
        let mut documents: Vec<(usize, Vec<&str>)> = Vec::new();
        let mut open = false;
        for (index, line) in text.lines().enumerate() {
            let blank = line.trim().is_empty() || line.starts_with('#');
            if line.starts_with("---") {
                documents.push((index + 2, Vec::new()));
                open = true;
            } else if open {
                if let Some((_, lines)) = documents.last_mut() {
                    lines.push(line);
                }
            } else if !blank {
                documents.push((index + 1, vec![line]));
                open = true;
            }
        }
        Self { documents }
    }

    /// The line of the field at `path` (`spec.targets[0].address`) in a document, or of the nearest field above it.
    pub(super) fn line(&self, document: usize, path: &str) -> Option<usize> {
        let (first, lines) = self.documents.get(document)?;
        let mut at = lines.iter().position(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or(0);
        let mut from = 0;
        let mut indent = 0;
        for step in path.split('.').filter(|step| !step.is_empty()) {
            let (key, item) = step.split_once('[').map_or((step, None), |(key, rest)| (key, rest.strip_suffix(']')));
            let Some(found) = key_line(lines, from, indent, key) else { break };
            at = found;
            let Some(inner) = next_indent(lines, found + 1) else { break };
            (from, indent) = (found + 1, inner);
            if let Some(number) = item.and_then(|i| i.parse::<usize>().ok()) {
                let Some(found) = item_line(lines, from, indent, number) else { break };
                (at, from, indent) = (found, found, column(lines[found]));
            }
        }
        Some(first + at)
    }
}

/// Where the text of a line starts, the dash of a list item counting as space.
fn column(line: &str) -> usize {
    let text = line.trim_start();
    let space = line.len() - text.len();
    text.strip_prefix("- ").map_or(space, |rest| space + 2 + (rest.len() - rest.trim_start().len()))
}

fn next_indent(lines: &[&str], from: usize) -> Option<usize> {
    let next = lines.iter().skip(from).find(|line| !is_blank(line))?;
    Some(next.len() - next.trim_start().len())
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

fn key_line(lines: &[&str], from: usize, indent: usize, key: &str) -> Option<usize> {
    for (index, line) in lines.iter().enumerate().skip(from).filter(|(_, line)| !is_blank(line)) {
        if column(line) < indent {
            return None;
        }
        let text = line.trim_start().trim_start_matches("- ").trim_start();
        let rest = text.strip_prefix(key).or_else(|| text.strip_prefix(&format!("\"{key}\"")));
        if column(line) == indent && rest.is_some_and(|rest| rest.starts_with(':')) {
            return Some(index);
        }
    }
    None
}

fn item_line(lines: &[&str], from: usize, indent: usize, number: usize) -> Option<usize> {
    let is_item = |line: &str| {
        let text = line.trim_start();
        line.len() - text.len() == indent && (text.starts_with("- ") || text == "-")
    };
    lines.iter().enumerate().skip(from).filter(|(_, line)| is_item(line)).nth(number).map(|(index, _)| index)
}
