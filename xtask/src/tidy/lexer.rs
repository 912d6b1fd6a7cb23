//! Lexer: Rust text into words, signs, string literals and comments, each with its line.
//!
//! It knows just enough of the language to tell code from text and text from comment, and which lines are tests. It does
//! not parse, and it never fails: what it does not know is a sign.

/// What a token is; strings are without quotes and prefix, comments with their slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier, a keyword or a number.
    Word,
    /// One character of anything else.
    Sign,
    /// A string or byte string literal, escapes left as written.
    Text,
    /// A comment of any sort, documentation too.
    Comment,
}

/// A piece of the source.
#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
    /// Counted from 1; where the token begins.
    pub line: usize,
}

impl Token {
    /// Whether this is the sign `c`.
    pub fn is_sign(&self, c: char) -> bool {
        self.kind == Kind::Sign && self.text.starts_with(c)
    }

    /// Whether this is the word `word`.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }
}

/// All tokens of `text`.
pub fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1, tokens: Vec::new() };
    while let Some(c) = lexer.peek(0) {
        lexer.next_token(c);
    }
    lexer.tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next_token(&mut self, c: char) {
        let end = match (c, self.peek(1)) {
            ('/', Some('/')) => return self.take(Kind::Comment, self.line_end()),
            ('/', Some('*')) => return self.take(Kind::Comment, self.block_comment_end()),
            ('"', _) => return self.text(self.at + 1, 0),
            ('\'', _) => self.char_or_lifetime_end(),
            _ if c.is_whitespace() => {
                self.advance(self.at + 1);
                return;
            }
            _ if c.is_alphanumeric() || c == '_' => {
                let end = self.word_end(self.at);
                if let Some((start, hashes)) = self.prefixed_text(end) {
                    return self.text(start, hashes);
                }
                return self.take(Kind::Word, end);
            }
            _ => self.at + 1,
        };
        self.take(Kind::Sign, end);
    }

    /// When the word up to `end` is a prefix of a string (`b"`, `r#"`, `br##"`): where its text starts, and how many `#`.
    fn prefixed_text(&self, end: usize) -> Option<(usize, usize)> {
        let word: String = self.chars[self.at..end].iter().collect();
        if !matches!(word.as_str(), "b" | "c" | "r" | "br" | "cr") {
            return None;
        }
        let hashes = self.chars[end..].iter().take_while(|c| **c == '#').count();
        let opens = self.chars.get(end + hashes) == Some(&'"');
        let raw = word.contains('r');
        // A raw string without # still has no escapes; a count of usize::MAX would be cleverer and harder to read.
        (opens && (raw || hashes == 0)).then_some((end + hashes + 1, if raw { hashes + 1 } else { 0 }))
    }

    /// Takes a literal whose text begins at `start`; `raw` is 0 for one with escapes, else one more than its `#`s.
    fn text(&mut self, start: usize, raw: usize) {
        let mut end = start;
        let closes =
            |at: usize| self.chars[at] == '"' && (1..raw).all(|ahead| self.chars.get(at + ahead) == Some(&'#'));
        while end < self.chars.len() && !closes(end) {
            end += if raw == 0 && self.chars[end] == '\\' { 2 } else { 1 };
        }
        let end = end.min(self.chars.len());
        let text = self.chars[start.min(end)..end].iter().collect();
        self.tokens.push(Token { kind: Kind::Text, text, line: self.line });
        self.advance(end + raw.max(1));
    }

    fn take(&mut self, kind: Kind, end: usize) {
        let text = self.chars[self.at..end].iter().collect();
        self.tokens.push(Token { kind, text, line: self.line });
        self.advance(end);
    }

    fn advance(&mut self, end: usize) {
        let end = end.min(self.chars.len());
        self.line += self.chars[self.at..end].iter().filter(|c| **c == '\n').count();
        self.at = end;
    }

    fn word_end(&self, from: usize) -> usize {
        let length = self.chars[from..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
        from + length
    }

    fn line_end(&self) -> usize {
        self.at + self.chars[self.at..].iter().take_while(|c| **c != '\n').count()
    }

    fn block_comment_end(&self) -> usize {
        let mut depth = 0;
        let mut at = self.at;
        while at < self.chars.len() {
            match (self.chars[at], self.chars.get(at + 1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    at += 1;
                    continue;
                }
            }
            at += 2;
            if depth == 0 {
                return at;
            }
        }
        at.min(self.chars.len())
    }

    /// `'a'`, `'\n'`, `'\u{1F}'` to their end; of a lifetime only the quote.
    fn char_or_lifetime_end(&self) -> usize {
        if self.peek(1) == Some('\\') {
            let rest = &self.chars[(self.at + 3).min(self.chars.len())..];
            return self.at + 3 + rest.iter().take_while(|c| **c != '\'').count() + 1;
        }
        if self.peek(2) == Some('\'') { self.at + 3 } else { self.at + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        lex(source).into_iter().filter(|t| t.kind == Kind::Text).map(|t| t.text).collect()
    }

    #[test]
    fn text_code_and_comment_are_told_apart() {
        let table = [
            (r#"let a = "x"; // "no""#, vec!["x"], "a comment's quotes are not text"),
            (r#"/* " /* nested */ " */ "x""#, vec!["x"], "comments nest"),
            (r#""say \"hi\"" "x""#, vec![r#"say \"hi\""#, "x"], "an escaped quote does not end text"),
            (r##"r#"a "b" c"# "x""##, vec![r#"a "b" c"#, "x"], "raw text ends at its own mark"),
            (r#"r"a\" "x""#, vec![r"a\", "x"], "raw text has no escapes"),
            (r#"b"bytes" '"' '\'' "x""#, vec!["bytes", "x"], "a quote as a character opens nothing"),
            (r#"fn f<'a>(x: &'a str) { "x" }"#, vec!["x"], "a lifetime opens nothing"),
            (r#""unfinished"#, vec!["unfinished"], "the end of the file ends everything"),
        ];
        for (source, expected, why) in table {
            assert_eq!(texts(source), expected, "{why}");
        }
    }

    #[test]
    fn a_token_knows_its_line() {
        let tokens = lex("one\n/* two\nthree */\n\"four\nfive\" six");
        let lines: Vec<usize> = tokens.iter().map(|t| t.line).collect();
        assert_eq!(lines, [1, 2, 4, 5]);
    }
}
