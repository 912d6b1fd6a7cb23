//! Texts that many labels share, each kept once and named by a number.

use std::sync::Arc;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// A text, in this process only.
pub(crate) type Symbol = u32;

#[derive(Debug, Default)]
pub(crate) struct Symbols {
    texts: Vec<Arc<str>>,
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
        let texts = &self.texts;
        let hash_of = |symbol: &Symbol| xxh3_64(texts[*symbol as usize].as_bytes());
        self.table.insert_unique(xxh3_64(text.as_bytes()), symbol, hash_of);
        symbol
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &Arc<str> {
        &self.texts[symbol as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }
}
