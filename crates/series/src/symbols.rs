//! Texts that many labels share, each kept once and named by a number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::sync::Arc;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::promql::json;

/// A text, in this process only.
pub(crate) type Symbol = u32;

/// Maps by symbol. Symbols are our own numbers, so nobody outside can choose ones that collide.
pub(crate) type BySymbol<V> = HashMap<Symbol, V, BuildHasherDefault<Spread>>;

/// Spreads dense numbers, which is all that they need.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Symbols {
    texts: Vec<Arc<str>>,
    /// Which of them are in JSON as they are.
    plain: Vec<bool>,
    table: HashTable<Symbol>,
}

impl Symbols {
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        let same = |symbol: &Symbol| *self.texts[*symbol as usize] == *text;
        self.table.find(xxh3_64(text.as_bytes()), same).copied()
    }

    pub(crate) fn intern(&mut self, text: &str) -> Symbol {
        if let Some(known) = self.find(text) {
            return known;
        }
        let symbol = self.texts.len() as Symbol;
        self.texts.push(text.into());
        self.plain.push(!json::needs_escape(text));
        let texts = &self.texts;
        let hash_of = |symbol: &Symbol| xxh3_64(texts[*symbol as usize].as_bytes());
        self.table.insert_unique(xxh3_64(text.as_bytes()), symbol, hash_of);
        symbol
    }

    /// As [`intern`](Self::intern), of bytes that are text; quick when the guess is right.
    pub(crate) fn intern_bytes(&mut self, bytes: &[u8], guess: Option<Symbol>) -> Symbol {
        if let Some(guess) = guess
            && self.texts[guess as usize].as_bytes() == bytes
        {
            return guess;
        }
        let same = |symbol: &Symbol| self.texts[*symbol as usize].as_bytes() == bytes;
        match self.table.find(xxh3_64(bytes), same) {
            Some(known) => *known,
            // Keys were made from labels, which are text.
            None => self.intern(std::str::from_utf8(bytes).unwrap_or_default()),
        }
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &Arc<str> {
        &self.texts[symbol as usize]
    }

    /// Writes a text as JSON.
    ///
    /// # Errors
    /// None: memory takes all that is written.
    pub(crate) fn write(&self, out: &mut Vec<u8>, symbol: Symbol) -> io::Result<()> {
        let text = self.text(symbol);
        if self.plain[symbol as usize] { json::plain(out, text) } else { json::string(out, text) }
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }
}
