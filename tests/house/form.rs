//! One form for all sources, where the formatter of the stable toolchain lets everybody do as they like: the
//! width of comments, the order and shape of imports, the length of files.

use crate::every_file;

/// The width of a line, as in `rustfmt.toml`.
const WIDTH: usize = 110;
/// A file has one subject; one that is longer than this has its reason here.
const LINES: usize = 500;
const LONG: &[(&str, &str)] = &[];

/// What an import is of, in the order in which the three stand, an empty line between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Std,
    OtherCrate,
    ThisCrate,
}

fn origin(path: &str) -> Origin {
    match path.split("::").next().unwrap_or_default().trim_end_matches(';') {
        "std" | "core" | "alloc" => Origin::Std,
        "crate" | "super" | "self" => Origin::ThisCrate,
        _ => Origin::OtherCrate,
    }
}

/// Says of each comment that is too wide where it is. What cannot be broken may be: a row of a table, an
/// address.
fn wide_comments(text: &str) -> Vec<usize> {
    let too_wide = |line: &str| {
        let comment = line.trim_start();
        let words = comment.trim_start_matches(['/', '!']).trim_start();
        comment.starts_with("//")
            && line.chars().count() > WIDTH
            && !words.starts_with('|')
            && words.contains(' ')
    };
    text.lines().enumerate().filter(|(_, line)| too_wide(line)).map(|(index, _)| index + 1).collect()
}

/// Says what is wrong with the imports at the margin of a file: braces in braces, an origin that comes too
/// late or twice, one that no empty line parts from the one before.
fn untidy_imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut last: Option<Origin> = None;
    let mut parted = true;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(path) = import(line) else {
            // The next list of imports, behind the declarations of modules, say, begins anew.
            match line {
                "" => parted = true,
                _ if line.starts_with("#[") || line.starts_with("//") => {}
                _ => (last, parted) = (None, true),
            }
            continue;
        };
        let mut whole = line.to_owned();
        while !whole.ends_with(';') {
            let Some(more) = lines.next() else { break };
            whole.push_str(more.trim());
        }
        if whole.matches('{').count() > 1 {
            found.push(format!("braces in braces: {whole}"));
        }
        let origin = origin(path);
        match last {
            Some(last) if origin < last => found.push(format!("{origin:?} behind {last:?}: {whole}")),
            Some(last) if (origin != last) != parted => {
                found.push(format!("an empty line parts origins and nothing else: {whole}"));
            }
            _ => {}
        }
        (last, parted) = (Some(origin), false);
    }
    found
}

/// Returns the path that a line at the margin imports.
fn import(line: &str) -> Option<&str> {
    let visible = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')').map_or(rest, |(_, rest)| rest),
        None => rest,
    });
    visible.trim_start().strip_prefix("use ")
}

#[test]
fn comments_keep_within_the_width() {
    let wide: Vec<String> = every_file()
        .iter()
        .flat_map(|(path, text)| wide_comments(text).into_iter().map(move |line| format!("{path}:{line}")))
        .collect();
    assert!(wide.is_empty(), "comments wider than {WIDTH}:\n{}", wide.join("\n"));
}

#[test]
fn imports_have_one_shape_and_order() {
    let untidy: Vec<String> = every_file()
        .iter()
        .flat_map(|(path, text)| untidy_imports(text).into_iter().map(move |what| format!("{path}: {what}")))
        .collect();
    assert!(untidy.is_empty(), "std, then other crates, then this one:\n{}", untidy.join("\n"));
}

#[test]
fn a_long_file_has_a_reason() {
    let files = every_file();
    let long: Vec<&str> = files
        .iter()
        .filter(|(_, text)| text.lines().count() > LINES)
        .map(|(path, _)| path.as_str())
        .collect();
    let reasons: Vec<&str> = LONG.iter().map(|(path, _)| *path).collect();
    assert_eq!(long, reasons, "files longer than {LINES} lines, and those with a reason");
}

/// The checks above, held against made-up sources: they must be able to fail.
mod checks {
    use super::*;

    #[test]
    fn a_wide_comment_is_found_and_what_cannot_be_broken_is_not() {
        let wide = "word ".repeat(30);
        let text = format!(
            "fn a() {{}}\n    /// {wide}\n// | {wide}|\nlet text = \"{wide}\";\n//! {}",
            "x".repeat(200)
        );
        assert_eq!(wide_comments(&text), [2]);
    }

    #[test]
    fn untidy_imports_are_found() {
        for untidy in [
            "use serde::Serialize;\n\nuse std::fs;",
            "use std::fs;\nuse serde::Serialize;",
            "use std::fs;\n\nuse std::io;",
            "use crate::kafka::Admin;\n\npub use serde::Serialize;",
            "use crate::{kafka::{Admin, Mark}, store};",
            "use super::a;\nuse std::{\n    fs,\n    io::{Read, Write},\n};",
        ] {
            assert!(!untidy_imports(untidy).is_empty(), "{untidy}");
        }
    }

    #[test]
    fn tidy_imports_are_left_alone() {
        let tidy = "//! A file.\n\nmod a;\n\nuse std::fs;\n#[cfg(unix)]\nuse std::io::{Read, Write};\n\nuse serde::Serialize;\n\n\
                    use self::a::A;\npub(crate) use crate::b;\n\nconst C: u8 = 1;\n\npub use std::fs::File;\n";
        assert_eq!(untidy_imports(tidy), Vec::<String>::new());
    }
}
