//! Series in the order of their labels, and as JSON in that order. Most of them are alike: the same names, many of the same values. So
//! texts are compared once each, not once for each comparison of two series, and what a series has in common with the one before it
//! is copied. It must never put series in another order than their labels are in.

use std::cmp::Ordering;
use std::io;

use super::{Index, SeriesId};
use crate::symbols::{BySymbol, Symbol};

/// Series that are compared with each other at once.
const FEW: usize = 32;
/// Values of which it is known at once which they are.
const MET: usize = 64;

/// A series in JSON, as it was written last.
#[derive(Default)]
pub(crate) struct Written<'i> {
    pairs: &'i [(Symbol, Symbol)],
    /// Where it begins, and from there where each of its labels ends.
    at: usize,
    ends: Vec<usize>,
}

impl Index {
    /// Puts series of one tenant in order of their labels.
    pub(crate) fn sort(&self, ids: &mut [SeriesId]) {
        // Numbers are mostly in order already.
        if ids.is_sorted_by(|a, b| self.by_labels(*a, *b).is_le()) {
            return;
        }
        match if ids.len() < FEW { None } else { self.ranks(ids) } {
            None => ids.sort_by(|a, b| self.by_labels(*a, *b)),
            // A word each is put in order twice as fast as a pair.
            Some((ranks, ..=u32::BITS)) => {
                let pairs = ranks.into_iter().zip(ids.iter());
                let mut words: Vec<u64> = pairs.map(|(rank, id)| rank << u32::BITS | u64::from(*id)).collect();
                words.sort_unstable();
                ids.iter_mut().zip(words).for_each(|(place, word)| *place = word as SeriesId);
            }
            Some((ranks, _)) => {
                let mut pairs: Vec<(u64, SeriesId)> = ranks.into_iter().zip(ids.iter().copied()).collect();
                pairs.sort_unstable();
                ids.iter_mut().zip(pairs).for_each(|(place, (_, id))| *place = id);
            }
        }
    }

    /// Writes a series as an object of its labels.
    ///
    /// # Errors
    /// None: memory takes all that is written.
    pub(crate) fn write<'i>(&'i self, out: &mut Vec<u8>, id: SeriesId, last: &mut Written<'i>) -> io::Result<()> {
        let pairs = self.symbols_of(id);
        let common = pairs.iter().zip(last.pairs).take_while(|(a, b)| a == b).count();
        let at = out.len();
        match common.checked_sub(1).map(|label| last.ends[label]) {
            Some(end) => out.extend_from_within(last.at..last.at + end),
            None => out.push(b'{'),
        }
        last.ends.truncate(common);
        for (place, (name, value)) in pairs.iter().enumerate().skip(common) {
            if place > 0 {
                out.push(b',');
            }
            self.symbols.write(out, *name)?;
            out.push(b':');
            self.symbols.write(out, *value)?;
            last.ends.push(out.len() - at);
        }
        out.push(b'}');
        (last.pairs, last.at) = (pairs, at);
        Ok(())
    }

    fn symbols_of(&self, id: SeriesId) -> &[(Symbol, Symbol)] {
        self.pairs_of(&self.entries[id as usize])
    }

    /// For each a number, in the order of their labels, and how many bits it has; none when they have other names than the first, or
    /// too many values.
    fn ranks(&self, ids: &[SeriesId]) -> Option<(Vec<u64>, u32)> {
        let rows: Vec<&[(Symbol, Symbol)]> = ids.iter().map(|id| self.symbols_of(*id)).collect();
        let first = *rows.first()?;
        let mut varies = vec![false; first.len()];
        for row in &rows {
            if row.len() != first.len() {
                return None;
            }
            for ((one, other), varies) in first.iter().zip(*row).zip(&mut varies) {
                if one.0 != other.0 {
                    return None;
                }
                *varies |= one.1 != other.1;
            }
        }
        let (mut ranks, mut used) = (vec![0; rows.len()], 0);
        for place in (0..first.len()).filter(|place| varies[*place]) {
            let (places, values) = values_at(place, &rows);
            let mut by_text: Vec<u32> = (0..values.len() as u32).collect();
            by_text.sort_unstable_by_key(|value| self.symbols.text(values[*value as usize]));
            let mut rank_of = vec![0; values.len()];
            (0..).zip(by_text).for_each(|(rank, value)| rank_of[value as usize] = rank);
            let bits = (values.len() - 1).ilog2() + 1;
            used += bits;
            if used > u64::BITS {
                return None;
            }
            for (rank, value) in ranks.iter_mut().zip(places) {
                *rank = *rank << bits | rank_of[value as usize];
            }
        }
        Some((ranks, used))
    }

    /// The order of two series of a tenant. Texts are only compared where they differ.
    fn by_labels(&self, a: SeriesId, b: SeriesId) -> Ordering {
        let (a, b) = (self.symbols_of(a), self.symbols_of(b));
        let text = |symbol: Symbol| self.symbols.text(symbol);
        match a.iter().zip(b).find(|(a, b)| a != b) {
            Some((a, b)) if a.0 == b.0 => text(a.1).cmp(text(b.1)),
            Some((a, b)) => text(a.0).cmp(text(b.0)),
            None => a.len().cmp(&b.len()),
        }
    }
}

/// The values that the label at a place has in these series, and for each series which of them it has.
fn values_at(place: usize, rows: &[&[(Symbol, Symbol)]]) -> (Vec<u32>, Vec<Symbol>) {
    let (mut known, mut values): (BySymbol<u32>, Vec<Symbol>) = Default::default();
    // Those that were met last: most labels have a few values, by turns.
    let mut met = [(Symbol::MAX, 0); MET];
    let each = rows.iter().map(|row| {
        let value = row[place].1;
        let last = &mut met[value as usize % MET];
        if last.0 != value {
            let new = values.len() as u32;
            let number = *known.entry(value).or_insert(new);
            if number == new {
                values.push(value);
            }
            *last = (value, number);
        }
        last.1
    });
    (each.collect(), values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::tests::intern;
    use crate::labels::Labels;
    use crate::promql::json;

    fn series() -> impl Strategy<Value = Vec<(u8, u8, u8, Option<u8>)>> {
        let odd = prop_oneof![9 => Just(None), 1 => any::<u8>().prop_map(Some)];
        prop::collection::vec((0..4_u8, any::<u8>(), any::<u8>(), odd), 0..120)
    }

    /// Labels of so many values that a number of one word, or of two, does not tell them apart.
    #[test]
    fn many_values_are_in_order_too() {
        for names in [1_u64, 3, 6] {
            let mut index = Index::default();
            // Each label's values are in another order.
            let value = |name: u64, n: u64| format!("{:016x}", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 << name));
            let labels = |n| Labels::new((0..names).map(|name| (format!("l{name}"), value(name, n)))).unwrap();
            let mut ids: Vec<SeriesId> = (0..3000).map(|n| intern(&mut index, 1, &labels(n))).collect();
            assert_eq!(index.ranks(&ids).map(|(_, bits)| bits), (names < 6).then_some(12 * names as u32));
            index.sort(&mut ids);
            assert!(ids.is_sorted_by(|a, b| index.by_labels(*a, *b).is_lt()), "{names} labels");
        }
    }

    proptest! {
        #[test]
        fn series_are_in_the_order_of_their_labels_and_their_json_is_that_of_each(all in series(), alike in any::<bool>()) {
            let mut index = Index::default();
            let mut ids = Vec::new();
            for (a, b, c, odd) in all {
                let mut pairs = vec![
                    ("a".to_owned(), format!("v\"{a}")), ("b".to_owned(), b.to_string()), ("c".to_owned(), c.to_string()),
                ];
                pairs.extend(odd.filter(|_| !alike).map(|odd| (format!("b{}", odd % 3), "x".to_owned())));
                let labels = Labels::new(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap();
                ids.push(intern(&mut index, 1, &labels));
            }
            ids.sort_unstable();
            ids.dedup();
            let mut expected: Vec<Labels> = ids.iter().map(|id| index.labels(&index.entries[*id as usize])).collect();
            expected.sort();
            index.sort(&mut ids);
            let sorted: Vec<Labels> = ids.iter().map(|id| index.labels(&index.entries[*id as usize])).collect();
            prop_assert_eq!(&sorted, &expected);
            let (mut last, mut out) = (Written::default(), Vec::new());
            json::list(&mut out, &ids, |out, id| index.write(out, *id, &mut last)).unwrap();
            let mut plain = Vec::new();
            json::list(&mut plain, &sorted, |out, labels| json::pairs(out, labels.iter())).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(plain).unwrap());
        }
    }
}
