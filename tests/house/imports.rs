//! Who imports whom, as the sources have it.

use std::collections::{BTreeMap, BTreeSet};

/// Returns the text without comments, and with the contents of string literals blanked.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let bytes: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match rest {
            ['/', '/', ..] => at += rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => {
                let end = rest.windows(2).position(|pair| pair == ['*', '/']);
                at += end.map_or(rest.len(), |end| end + 2);
            }
            ['r', '#', '"', ..] => {
                let end = rest[3..].windows(2).position(|pair| pair == ['"', '#']);
                at += end.map_or(rest.len(), |end| end + 5);
            }
            ['"', ..] => {
                at += 1;
                while at < bytes.len() && bytes[at] != '"' {
                    at += if bytes[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
                code.push_str("\"\"");
            }
            ['\'', '\\', ..] => {
                let end = rest[2..].iter().position(|c| *c == '\'');
                at += end.map_or(rest.len(), |end| end + 3);
            }
            ['\'', _, '\'', ..] => at += 3,
            [c, ..] => {
                code.push(*c);
                at += 1;
            }
            [] => {}
        }
    }
    code
}

/// Takes a use tree such as `a::{b, c::{self, d as e}}` apart into its paths.
fn expand(tree: &str, prefix: &[String], paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let mut prefix = prefix.to_vec();
        prefix
            .extend(tree[..open].split("::").map(str::trim).filter(|part| !part.is_empty()).map(Into::into));
        let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
        let (mut depth, mut begin) = (0, 0);
        for (at, c) in inner.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&inner[begin..at], &prefix, paths);
                    begin = at + 1;
                }
                _ => {}
            }
        }
        expand(&inner[begin..], &prefix, paths);
    } else if !tree.is_empty() {
        let plain = tree.split(" as ").next().unwrap_or_default();
        let mut path = prefix.to_vec();
        path.extend(plain.split("::").map(|part| part.trim().to_owned()).filter(|part| part != "self"));
        if prefix.is_empty() && plain.trim().starts_with("self::") {
            path.insert(0, "self".to_owned());
        }
        paths.push(path);
    }
}

/// What a file imports.
#[derive(Default)]
struct Imports {
    /// The paths that it uses, by `use` or where they stand in the code.
    used: Vec<Vec<String>>,
    /// The paths that it passes on, by the name under which others get them.
    passed_on: BTreeMap<String, Vec<String>>,
    /// The folders of its own that it passes on whole, by `*`.
    globs: Vec<Vec<String>>,
}

fn imports_of(text: &str) -> Imports {
    // What only tests import makes no circle in the program.
    let code = code_of(text);
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut imports = Imports::default();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let before = rest[..at].chars().next_back();
        let statement = &rest[at + 4..];
        let line = rest[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let head = rest[line..at].trim();
        let is_use = before.is_none_or(|c| c.is_whitespace())
            && (head.is_empty() || head == "pub" || head.starts_with("pub("));
        let Some(end) = statement.find(';').filter(|_| is_use) else {
            rest = statement;
            continue;
        };
        let mut paths = Vec::new();
        expand(&statement[..end], &[], &mut paths);
        for path in paths {
            let Some(name) = path.last().cloned() else { continue };
            match (head.is_empty(), name.as_str()) {
                (true, _) => imports.used.push(path),
                (false, "*") => imports.globs.push(path[..path.len() - 1].to_vec()),
                (false, _) => drop(imports.passed_on.insert(name, path)),
            }
        }
        rest = &statement[end..];
    }
    for head in ["crate::", "super::"] {
        for (at, _) in code.match_indices(head) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let path: String =
                code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
            let path: Vec<String> =
                path.split("::").filter(|part| !part.is_empty()).map(Into::into).collect();
            // Before a brace stands no path of its own: the statement was taken apart above.
            if path.len() > 1 {
                imports.used.push(path);
            }
        }
    }
    imports
}

/// The files of one crate and who imports whom, by module path.
pub struct Graph {
    imports: BTreeMap<Vec<String>, Imports>,
}

impl Graph {
    pub fn of<'a>(files: impl IntoIterator<Item = (Vec<String>, &'a str)>) -> Self {
        Self { imports: files.into_iter().map(|(module, text)| (module, imports_of(text))).collect() }
    }

    /// Makes a path absolute in the crate; none where it leads out of it.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut at = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => module.to_vec(),
            Some("super") => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let parent = module[..module.len().checked_sub(ups)?].to_vec();
                return Some(parent.into_iter().chain(path[ups..].iter().cloned()).collect());
            }
            // A child by its bare name, or another crate.
            Some(name) => {
                let mut child = module.to_vec();
                child.push(name.to_owned());
                if !self.imports.contains_key(&child) {
                    return None;
                }
                return Some(module.iter().cloned().chain(path.iter().cloned()).collect());
            }
            None => return None,
        };
        at.extend(path[1..].iter().cloned());
        Some(at)
    }

    /// Finds the file that an absolute path leads to; what a module passes on leads further.
    fn file_of(&self, path: &[String]) -> Vec<String> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let length = (0..=path.len()).rev().find(|n| self.imports.contains_key(&path[..*n]));
            let Some(length) = length else { return Vec::new() };
            let (module, Some(name)) = (path[..length].to_vec(), path.get(length)) else { return path };
            let Some(passed_on) = self.imports[&module].passed_on.get(name) else { return module };
            let Some(target) = self.absolute(&module, passed_on) else { return module };
            path = target.into_iter().chain(path[length + 1..].iter().cloned()).collect();
        }
        path
    }

    fn edges(&self) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
        let mut edges = BTreeMap::new();
        for (module, imports) in &self.imports {
            let targets: BTreeSet<Vec<String>> = imports
                .used
                .iter()
                .filter_map(|path| self.absolute(module, path))
                .map(|path| self.file_of(&path))
                .filter(|target| target != module)
                .collect();
            edges.insert(module.clone(), targets);
        }
        edges
    }

    /// Returns the groups of files that import each other in a circle, each with its members.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let edges = self.edges();
        let reach = |from: &Vec<String>| {
            let mut seen = BTreeSet::new();
            let mut next: Vec<_> = edges[from].iter().cloned().collect();
            while let Some(module) = next.pop() {
                if seen.insert(module.clone()) {
                    next.extend(edges.get(&module).into_iter().flatten().cloned());
                }
            }
            seen
        };
        let reached: BTreeMap<_, _> = edges.keys().map(|module| (module.clone(), reach(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, far) in &reached {
            if far.contains(module) {
                let circle: Vec<String> = far
                    .iter()
                    .filter(|other| reached.get(*other).is_some_and(|back| back.contains(module)))
                    .map(|other| other.join("::"))
                    .collect();
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    /// Returns the imports that lead upwards or sideways, as `from -> to`.
    pub fn against(&self, layers: &[&[&str]]) -> Vec<String> {
        let rank = |module: &[String]| {
            let top = module.first().map_or("lib", String::as_str);
            layers.iter().position(|layer| layer.contains(&top))
        };
        let mut wrong = Vec::new();
        for (from, targets) in self.edges() {
            if from.is_empty() {
                continue;
            }
            let Some(above) = rank(&from) else {
                wrong.push(format!("{} stands in no layer", from.join("::")));
                continue;
            };
            for to in targets {
                // The root declares modules and macros, and imports nothing.
                let inside = to.is_empty() || from.first() == to.first();
                if !inside && rank(&to).is_none_or(|below| below <= above) {
                    wrong.push(format!("{} -> {}", from.join("::"), to.join("::")));
                }
            }
        }
        wrong
    }
}
