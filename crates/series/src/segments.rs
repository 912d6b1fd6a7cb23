//! Which segments the log has, and the list of how long each is at least.
//!
//! A frame that is missing from the end of a file leaves no trace in it, and neither does a file that is missing. The list
//! says what was there when it was written: at each new segment, at each copy of the head, every half minute and at an orderly
//! end. What the open segment has gained since is not in it, so nothing that a kill leaves behind is taken for damage.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::durable::put_in_place;
use crate::error::{Damage, DamageKind, io as at};
use crate::frame;
use crate::wire::{Put, Take};

const NAME: &str = "lengths";
const VERSION: u64 = 1;

pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:010}.wal")
}

/// The segments in a folder, oldest first.
pub(crate) fn segments(dir: &Path) -> crate::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(at("list", dir))? {
        let path = entry.map_err(at("list", dir))?.path();
        let number = path.file_name().and_then(|n| n.to_str()?.strip_suffix(".wal")?.parse().ok());
        found.extend(number.map(|n| (n, path)));
    }
    found.sort_unstable();
    Ok(found)
}

/// How many bytes each segment has at least, by number. All of them are synced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths(pub(crate) BTreeMap<u64, u64>);

impl Lengths {
    /// The list of a folder; an empty one when there is none, as in a log of an older version. An error is what is wrong with it.
    fn of(dir: &Path) -> Result<Self, DamageKind> {
        match fs::read(dir.join(NAME)) {
            Ok(bytes) => Self::decode(&bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(_) => Err(DamageKind::Unreadable),
        }
    }

    /// The list of a folder, an empty one for one that is damaged, which is told of.
    pub(crate) fn or_damage(dir: &Path, damaged: &mut Vec<Damage>) -> Self {
        Self::of(dir).unwrap_or_else(|kind| {
            let length = fs::metadata(dir.join(NAME)).map_or(0, |file| file.len());
            damaged.push(Damage { file: shown(NAME), offset: 0, length, kind });
            Self::default()
        })
    }

    /// Writes the list, in place of the one that there is.
    ///
    /// # Errors
    /// [`SeriesError::Io`](crate::SeriesError::Io) when the disk refuses; the old list stays.
    pub(crate) fn write(&self, dir: &Path) -> crate::Result<()> {
        put_in_place(&dir.join(NAME), |part| {
            let written = File::create(part).and_then(|mut file| {
                file.write_all(&self.encode())?;
                file.sync_all()
            });
            written.map_err(at("write", part))
        })
    }

    /// Makes the end of a segment that was read what the list says of it: an end that is torn was never acknowledged, unless it
    /// reaches into what is listed. `bytes` are those of the file. Gives the bytes before a torn end that is to be cut off.
    pub(crate) fn judge(&self, number: u64, bytes: u64, damaged: &mut Vec<Damage>) -> Option<u64> {
        let listed = self.0.get(&number).copied().unwrap_or(0);
        let torn = damaged.last().filter(|last| last.kind == DamageKind::TornTail).map(|last| last.offset);
        if torn.unwrap_or(bytes) >= listed {
            return torn;
        }
        if torn.is_some() {
            damaged.pop();
        }
        let offset = torn.unwrap_or(bytes);
        damaged.push(gone(number, offset, bytes.max(listed) - offset));
        None
    }

    /// Takes it that a segment has so many bytes; false when that was known.
    pub(crate) fn raise(&mut self, number: u64, length: u64) -> bool {
        let before = self.0.entry(number).or_insert(0);
        let is_more = length > *before;
        *before = length.max(*before);
        is_more
    }

    /// Those of the list that are not among `seen`.
    pub(crate) fn missing(&self, seen: &[u64]) -> Vec<Damage> {
        self.0.iter().filter(|(number, _)| !seen.contains(number)).map(|(n, length)| gone(*n, 0, *length)).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        payload.put_u64(VERSION);
        for (number, length) in &self.0 {
            payload.put_u64(*number);
            payload.put_u64(*length);
        }
        let mut framed = Vec::new();
        frame::put(&mut framed, &payload);
        framed
    }

    fn decode(bytes: &[u8]) -> Result<Self, DamageKind> {
        let payload = frame::take(bytes).filter(|payload| frame::HEADER + payload.len() == bytes.len());
        let mut take = Take(payload.ok_or(DamageKind::Checksum)?);
        let mut lengths = BTreeMap::new();
        let mut version = take.u64();
        while version == Some(VERSION) && !take.is_empty() {
            match take.u64().zip(take.u64()) {
                Some((number, length)) => drop(lengths.insert(number, length)),
                None => version = None,
            }
        }
        version.filter(|found| *found == VERSION).map(|_| Self(lengths)).ok_or(DamageKind::Meaning)
    }
}

/// A file of the log for reports: relative to the engine's directory.
fn shown(name: &str) -> String {
    format!("wal/{name}")
}

fn gone(number: u64, offset: u64, length: u64) -> Damage {
    Damage { file: shown(&segment_name(number)), offset, length, kind: DamageKind::Gone }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written_and_no_byte_of_it_can_be_another(
            lengths in proptest::collection::btree_map(any::<u64>(), any::<u64>(), 0..20),
            bit in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let list = Lengths(lengths);
            let bytes = list.encode();
            prop_assert_eq!(Lengths::decode(&bytes), Ok(list));
            let mut other = bytes.clone();
            let bit = bit.index(bytes.len() * 8);
            other[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Lengths::decode(&other).is_err());
            prop_assert!(Lengths::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn reading_anything_never_panics(bytes in any::<Vec<u8>>()) {
            let mut framed = Vec::new();
            frame::put(&mut framed, &bytes);
            let _ = (Lengths::decode(&bytes), Lengths::decode(&framed));
        }
    }

    #[test]
    fn an_end_is_torn_only_behind_what_is_listed() {
        let list = Lengths(BTreeMap::from([(1, 100)]));
        let torn = |offset| Damage { file: shown(&segment_name(1)), offset, length: 5, kind: DamageKind::TornTail };
        let judged = |number, bytes, before: &[Damage]| {
            let mut damaged = before.to_vec();
            (list.judge(number, bytes, &mut damaged), damaged)
        };
        assert_eq!(judged(1, 100, &[]), (None, vec![]), "as listed");
        assert_eq!(judged(1, 200, &[]), (None, vec![]), "written since");
        assert_eq!(judged(1, 105, &[torn(100)]), (Some(100), vec![torn(100)]), "torn behind it");
        assert_eq!(judged(2, 5, &[torn(0)]), (Some(0), vec![torn(0)]), "of another, nothing is known");
        assert_eq!(judged(1, 0, &[]), (None, vec![gone(1, 0, 100)]), "empty");
        assert_eq!(judged(1, 60, &[]), (None, vec![gone(1, 60, 40)]), "cut between two frames");
        assert_eq!(judged(1, 60, &[torn(55)]), (None, vec![gone(1, 55, 45)]), "cut within one");
        assert_eq!(judged(1, 105, &[torn(95)]), (None, vec![gone(1, 95, 10)]), "a damaged length at the end");
        assert_eq!(list.missing(&[2]), [gone(1, 0, 100)]);
        assert_eq!(list.missing(&[1, 2]), []);
    }
}
