//! Rust source as the tidiness rules read it: lines without comments, the texts of strings apart, tests apart.

/// One file.
pub struct SourceFile {
    /// From the workspace's folder, with slashes.
    pub path: String,
    /// All lines.
    pub lines: Vec<Line>,
    /// The whole file is a test.
    pub is_test: bool,
}

/// One line.
pub struct Line {
    /// From 1.
    pub number: usize,
    /// As it is.
    pub text: String,
    /// Without comments, and with empty strings.
    pub code: String,
    /// What stood in its strings.
    pub strings: Vec<String>,
}

impl SourceFile {
    /// Reads a file's text.
    pub fn of(path: &str, text: &str) -> Self {
        let mut reader = Reader::default();
        let lines = (1..).zip(text.lines()).map(|(number, text)| reader.line(number, text)).collect();
        let is_test =
            ["tests/", "simulators/tests/", "cloud-ledger/tests/"].iter().any(|under| path.starts_with(under));
        Self { path: path.to_owned(), lines, is_test }
    }

    /// The room of the box that it belongs to.
    pub fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split(['/', '.']).next()
    }

    /// What is built into the product: everything before the tests at the bottom.
    pub fn shipped(&self) -> &[Line] {
        &self.lines[..self.tests_begin()]
    }

    /// The tests.
    pub fn tests(&self) -> &[Line] {
        &self.lines[self.tests_begin()..]
    }

    fn tests_begin(&self) -> usize {
        if self.is_test {
            return 0;
        }
        let begins =
            |pair: &[Line]| pair[0].code.trim() == "#[cfg(test)]" && pair[1].code.trim().starts_with("mod tests {");
        self.lines.windows(2).position(begins).unwrap_or(self.lines.len())
    }

    /// The files of the modules that it declares for tests only.
    pub fn modules_for_tests(&self) -> Vec<String> {
        let folder = self.path.strip_suffix("/mod.rs").or_else(|| self.path.strip_suffix("/lib.rs"));
        let folder = folder.unwrap_or_else(|| self.path.trim_end_matches(".rs"));
        let declared = self.lines.windows(2).filter(|pair| pair[0].code.trim() == "#[cfg(test)]");
        let names = declared.filter_map(|pair| {
            let rest = pair[1].code.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            rest.strip_prefix("mod ")?.strip_suffix(';')
        });
        names.map(|name| format!("{folder}/{name}.rs")).collect()
    }

    /// Every room that the product's part of the file names through `crate::`, with the line.
    pub fn imported_rooms(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        // How many braces are open inside `use crate::{`.
        let mut open = 0_usize;
        for line in self.shipped() {
            let mut rest = line.code.as_str();
            loop {
                if open == 0 {
                    let Some(at) = rest.find("crate::") else { break };
                    rest = &rest[at + "crate::".len()..];
                    if let Some(inside) = rest.strip_prefix('{') {
                        (open, rest) = (1, inside);
                    } else {
                        found.push((line.number, first_word(rest)));
                        continue;
                    }
                }
                let mut names_room = true;
                let mut consumed = rest.len();
                for (at, letter) in rest.char_indices() {
                    match letter {
                        '{' => open += 1,
                        '}' => open -= 1,
                        ',' if open == 1 => names_room = true,
                        _ if names_room && open == 1 && (letter.is_alphabetic() || letter == '_') => {
                            found.push((line.number, first_word(&rest[at..])));
                            names_room = false;
                        }
                        _ => {}
                    }
                    if open == 0 {
                        consumed = at + 1;
                        break;
                    }
                }
                rest = &rest[consumed..];
                if open > 0 {
                    break;
                }
            }
        }
        found
    }
}

impl Line {
    /// Whether these words stand in the code, not as a part of others.
    pub fn has(&self, words: &str) -> bool {
        let is_part = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        self.code.match_indices(words).any(|(at, _)| {
            !is_part(self.code[..at].chars().next_back()) && !is_part(self.code[at + words.len()..].chars().next())
        })
    }

    /// Whether a path begins with this name, as in `name::thing` or `use name;`.
    pub fn names_path(&self, name: &str) -> bool {
        self.has(name) && (self.code.contains(&format!("{name}::")) || self.code.contains(&format!("use {name};")))
    }
}

/// The words in the names of some code, small: `GateState` and `gate_state` are both `gate` and `state`.
pub fn words(code: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in code.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && !before.is_uppercase()) {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words.last_mut().unwrap().extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.into_iter().filter(|word| !word.is_empty())
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Where the reading stands between two lines.
#[derive(Default)]
struct Reader {
    inside: Inside,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Inside {
    #[default]
    Code,
    Comment,
    Text,
    /// With so many `#`.
    RawText(usize),
}

impl Reader {
    fn line(&mut self, number: usize, text: &str) -> Line {
        let mut line = Line { number, text: text.to_owned(), code: String::new(), strings: Vec::new() };
        if self.inside != Inside::Code {
            line.strings.push(String::new());
        }
        let letters: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < letters.len() {
            at += match self.inside {
                Inside::Code => self.code(&letters[at..], &mut line),
                Inside::Comment => self.until(&letters[at..], "*/", None, &mut line),
                Inside::Text => self.text(&letters[at..], &mut line),
                Inside::RawText(hashes) => {
                    let end = format!("\"{}", "#".repeat(hashes));
                    self.until(&letters[at..], &end, Some('"'), &mut line)
                }
            };
        }
        line
    }

    fn code(&mut self, rest: &[char], line: &mut Line) -> usize {
        let begins = |words: &str| rest.iter().copied().take(words.chars().count()).eq(words.chars());
        if begins("//") {
            return rest.len();
        }
        if begins("/*") {
            self.inside = Inside::Comment;
            return 2;
        }
        let is_name = line.code.chars().next_back().is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        if rest[0] == 'r' && !is_name {
            let hashes = rest[1..].iter().take_while(|letter| **letter == '#').count();
            if rest.get(1 + hashes) == Some(&'"') {
                self.open(Inside::RawText(hashes), line);
                return 2 + hashes;
            }
        }
        if rest[0] == '"' {
            self.open(Inside::Text, line);
            return 1;
        }
        if rest[0] == '\'' {
            // A letter in quotes; anything else with one quote is a lifetime.
            let length = if rest.get(1) == Some(&'\\') {
                rest.iter().skip(3).position(|letter| *letter == '\'').map(|end| end + 4)
            } else {
                (rest.get(2) == Some(&'\'')).then_some(3)
            };
            if let Some(length) = length {
                line.code.push_str("' '");
                return length;
            }
        }
        line.code.push(rest[0]);
        1
    }

    fn open(&mut self, inside: Inside, line: &mut Line) {
        self.inside = inside;
        line.code.push('"');
        line.strings.push(String::new());
    }

    fn text(&mut self, rest: &[char], line: &mut Line) -> usize {
        if rest[0] == '\\' {
            return 2;
        }
        if rest[0] == '"' {
            self.inside = Inside::Code;
            line.code.push('"');
        } else {
            line.strings.last_mut().unwrap().push(rest[0]);
        }
        1
    }

    fn until(&mut self, rest: &[char], end: &str, closing: Option<char>, line: &mut Line) -> usize {
        if rest.iter().copied().take(end.len()).eq(end.chars()) {
            self.inside = Inside::Code;
            line.code.extend(closing);
            return end.len();
        }
        if closing.is_some() {
            line.strings.last_mut().unwrap().push(rest[0]);
        }
        1
    }
}
