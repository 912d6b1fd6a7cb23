//! Reads log segments: samples out, damage told. Never panics; what is damaged is left out.
//!
//! Reading and decoding is one half of the work, taking in what was read the other: who is in a hurry lets a thread do the
//! first half ahead, and takes in what it sends in the order in which it was written.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::about::LogExemplar;
use crate::chunk::Point;
use crate::cut::Cut;
use crate::decode::{Closely, Decoded, Decoder, Entry, Places};
use crate::error::{Damage, DamageKind, SeriesError, io as at};
use crate::formats::Metadata;
use crate::frame::{self, Frames, Piece};
use crate::head::Part;
use crate::histogram::Histogram;
use crate::index::KeyHash;
use crate::log::{OLDEST_VERSION, VERSION, version_in};
use crate::native::NativePart;

/// Bytes of frames that are decoded before they are handed on.
const BATCH_BYTES: usize = 128 << 10;
/// Batches that may wait.
const BATCHES: usize = 8;

/// Takes what a segment holds, in the order in which it was written.
pub(crate) trait Replay {
    /// A series; what it gives back stands for it from then on.
    fn series(&mut self, tenant: u64, hash: KeyHash, key: &[u8]) -> u32;
    /// A sample.
    fn sample(&mut self, series: u32, point: Point);
    /// A window of a series, as the head had it.
    fn part(&mut self, series: u32, part: Part);
    /// A native histogram.
    fn histogram(&mut self, series: u32, at_ms: i64, histogram: Histogram);
    /// Those of a window of a series, as the head had them.
    fn histograms(&mut self, series: u32, part: NativePart);
    /// What was told of a family.
    fn metadata(&mut self, _tenant: u64, _told: Metadata) {}
    /// Exemplars of a series.
    fn exemplars(&mut self, _tenant: u64, _all: Vec<LogExemplar>) {}
    /// A delete of what came before it.
    fn cut(&mut self, _cut: Cut) {}
}

/// Hands on what was decoded of one segment.
#[derive(Default)]
pub(crate) struct Taken {
    places: Places,
}

impl Taken {
    pub(crate) fn batch(&mut self, decoded: &mut Decoded, sink: &mut impl Replay) {
        let Decoded { entries, keys, samples } = decoded;
        // The decoder lets nothing through whose series was not defined before it.
        for entry in entries.drain(..) {
            match entry {
                Entry::Series { id, tenant, hash, key } => {
                    let stands_for = sink.series(tenant, hash, &keys[key]);
                    self.places.set(id, stands_for);
                }
                Entry::Samples(range) => {
                    for (id, point) in &samples[range] {
                        if let Some(series) = self.places.get(*id) {
                            sink.sample(series, *point);
                        }
                    }
                }
                Entry::Part(id, part) => {
                    if let Some(series) = self.places.get(id) {
                        sink.part(series, part);
                    }
                }
                Entry::Histogram(id, at_ms, histogram) => {
                    if let Some(series) = self.places.get(id) {
                        sink.histogram(series, at_ms, histogram);
                    }
                }
                Entry::Histograms(id, part) => {
                    if let Some(series) = self.places.get(id) {
                        sink.histograms(series, part);
                    }
                }
                Entry::Metadata(tenant, told) => sink.metadata(tenant, told),
                Entry::Exemplars(tenant, all) => sink.exemplars(tenant, all),
                Entry::Cut(cut) => sink.cut(cut),
            }
        }
        decoded.clear();
    }
}

/// A segment that is being read.
struct Segment<R> {
    frames: Frames<R>,
    decoder: Decoder,
    damaged: Vec<Damage>,
    file: String,
    bytes: u64,
    /// The version that its first frame says it has, unless that is damaged.
    version: Option<u64>,
}

impl<R: Read> Segment<R> {
    fn new(file: &str, source: R, closely: Closely, seed: u64) -> Self {
        let (frames, decoder) = (Frames::new(source), Decoder::new(closely, seed));
        Self { frames, decoder, damaged: Vec::new(), file: file.into(), bytes: 0, version: None }
    }

    /// Decodes some more; false at the end.
    fn fill(&mut self, out: &mut Decoded) -> io::Result<bool> {
        let mut decoded = 0;
        while decoded < BATCH_BYTES {
            let (offset, length, kind) = match self.frames.next()? {
                None => return Ok(decoded > 0),
                Some(Piece::Whole(offset, payload)) => {
                    if offset == 0 {
                        self.version = version_in(payload);
                    }
                    let length = (payload.len() + frame::HEADER) as u64;
                    (offset, length, self.decoder.frame(payload, out).err())
                }
                Some(Piece::Damaged(bad)) => {
                    let kind = if bad.is_cut_short { DamageKind::TornTail } else { DamageKind::Checksum };
                    (bad.offset, bad.length, Some(kind))
                }
            };
            self.bytes = offset + length;
            decoded += length as usize;
            self.damaged.extend(kind.map(|kind| Damage { file: self.file.clone(), offset, length, kind }));
        }
        Ok(true)
    }
}

/// Reads one segment into `sink`; its length, and what is damaged, in order.
///
/// # Errors
/// What the source says.
pub(crate) fn replay(
    file: &str,
    source: impl Read,
    closely: Closely,
    sink: &mut impl Replay,
) -> io::Result<(u64, Vec<Damage>)> {
    let mut segment = Segment::new(file, source, closely, 0);
    let (mut decoded, mut taken) = (Decoded::default(), Taken::default());
    while segment.fill(&mut decoded)? {
        taken.batch(&mut decoded, sink);
    }
    Ok((segment.bytes, segment.damaged))
}

/// What is read ahead, in order: each segment's begin, what it holds, and its end.
pub(crate) enum Ahead {
    Begin(u64),
    Some(Decoded),
    End { path: PathBuf, bytes: u64, damaged: Vec<Damage> },
}

/// A segment to read: its number, where it is and how it is called.
pub(crate) struct ToRead {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) shown: String,
}

/// Where what is read ahead arrives, and where its buffers go back to.
pub(crate) struct ReadAhead {
    pub(crate) arriving: Receiver<crate::Result<Ahead>>,
    pub(crate) back: SyncSender<Decoded>,
}

/// Reads segments one after the other in a thread of the scope, for an index with this seed.
///
/// # Errors
/// [`SeriesError::Io`] when no thread can be started.
pub(crate) fn read_ahead<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    segments: Vec<ToRead>,
    seed: u64,
) -> io::Result<ReadAhead> {
    let (send, arriving) = sync_channel(BATCHES);
    let (back, spare) = sync_channel(BATCHES);
    let ahead = move || {
        for segment in segments {
            if let Err(error) = read_one(segment, seed, &send, &spare) {
                // Nobody is listening any more when it cannot be said.
                return drop(error.map(|error| send.send(Err(error))));
            }
        }
    };
    std::thread::Builder::new().name("series-reader".into()).spawn_scoped(scope, ahead)?;
    Ok(ReadAhead { arriving, back })
}

/// Reads one segment. An error without a cause means that nobody is listening.
fn read_one(
    segment: ToRead,
    seed: u64,
    send: &SyncSender<crate::Result<Ahead>>,
    spare: &Receiver<Decoded>,
) -> Result<(), Option<SeriesError>> {
    let ToRead { number, path, shown } = segment;
    let file = File::open(&path).map_err(|error| Some(at("open", &path)(error)))?;
    let mut segment = Segment::new(&shown, file, Closely::No, seed);
    send.send(Ok(Ahead::Begin(number))).map_err(|_| None)?;
    loop {
        let mut decoded = spare.try_recv().unwrap_or_default();
        let more = segment.fill(&mut decoded).map_err(|error| Some(at("read", &path)(error)))?;
        if let Some(found) = segment.version.filter(|version| !(OLDEST_VERSION..=VERSION).contains(version)) {
            return Err(Some(SeriesError::Version { path, found, oldest: OLDEST_VERSION, newest: VERSION }));
        }
        if !more {
            break;
        }
        send.send(Ok(Ahead::Some(decoded))).map_err(|_| None)?;
    }
    let Segment { bytes, damaged, .. } = segment;
    send.send(Ok(Ahead::End { path, bytes, damaged })).map_err(|_| None)
}

/// Counts samples, for who only checks.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) series: u32,
    pub(crate) samples: u64,
}

impl Replay for Counted {
    fn series(&mut self, _: u64, _: KeyHash, _: &[u8]) -> u32 {
        self.series += 1;
        self.series - 1
    }

    fn sample(&mut self, _: u32, _: Point) {
        self.samples += 1;
    }

    fn part(&mut self, _: u32, part: Part) {
        self.samples += part.count();
    }

    fn histogram(&mut self, _: u32, _: i64, _: Histogram) {
        self.samples += 1;
    }

    fn histograms(&mut self, _: u32, part: NativePart) {
        self.samples += part.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;
    use crate::labels::Labels;
    use crate::log::{NEXT_SERIES, SAME_TIME, TAG_SAMPLES, TAG_SERIES};
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> (Counted, Vec<Damage>) {
        let mut found = Counted::default();
        let (length, damaged) = replay("f", bytes, Closely::Yes, &mut found).unwrap();
        assert_eq!(length, bytes.len() as u64);
        (found, damaged)
    }

    proptest! {
        #[test]
        fn replaying_anything_never_panics(bytes in any::<Vec<u8>>(), tag in 0_u8..10) {
            let mut framed = Vec::new();
            frame::put(&mut framed, &[&[tag], bytes.as_slice()].concat());
            read(&bytes);
            read(&framed);
        }
    }

    fn defined(id: u64, name: &str) -> Vec<u8> {
        let mut out = vec![TAG_SERIES];
        crate::wire::Put::put_u64(&mut out, id);
        out.push(1);
        crate::wire::Put::put_bytes(&mut out, &key::of(&Labels::metric(name, &[]).unwrap()));
        out
    }

    #[test]
    fn samples_of_a_series_whose_definition_is_lost_are_told_of_and_not_guessed() {
        let frames = [
            [defined(1, "a"), vec![TAG_SAMPLES, NEXT_SERIES, 20]].concat(),
            [defined(2, "b"), vec![TAG_SAMPLES, NEXT_SERIES, 40, NEXT_SERIES | SAME_TIME]].concat(),
        ];
        let mut whole = Vec::new();
        frames.iter().for_each(|f| frame::put(&mut whole, f));
        let (found, damaged) = read(&whole);
        assert_eq!((found.series, found.samples, damaged), (2, 3, vec![]));
        let mut second = Vec::new();
        frame::put(&mut second, &frames[1]);
        let (found, damaged) = read(&second);
        assert_eq!((found.series, found.samples, damaged[0].kind), (1, 1, DamageKind::Orphaned));
    }

    #[test]
    fn numbers_that_are_far_apart_stand_for_their_series_too() {
        let far = u64::from(u32::MAX);
        let mut samples = vec![TAG_SAMPLES, 0];
        crate::wire::Put::put_i64(&mut samples, far as i64);
        samples.push(20);
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &[defined(far, "a"), samples].concat());
        let (found, damaged) = read(&bytes);
        assert_eq!((found.series, found.samples, damaged), (1, 1, vec![]));
    }
}
