//! A page of a target, read against what was read before: a series whose text is known costs a comparison and a copy of its bytes.
//!
//! A text is taken apart by `series::formats` only when it is new, and what relabelling makes of it is kept with it. Nothing here
//! opens a socket or reads a clock. It must never take a part of a page that is wrong somewhere.

mod families;

use std::collections::{HashMap, HashSet};

use series::formats::families::Buckets;
use series::formats::{Batch, FormatError, Limits, exposition, openmetrics};
use series::{Labels, stale_marker};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::relay::encode::{self, Content};

/// Which format a page is in; its content type says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's own, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's own in protocol buffers, and which buckets of histograms are taken from it.
    Families(Buckets),
}

impl Format {
    /// The format that a content type names; Prometheus's own when it names none.
    pub fn of_content_type(content_type: &str) -> Self {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/openmetrics-text" => Self::OpenMetrics,
            "application/vnd.google.protobuf" => Self::Families(Buckets::default()),
            _ => Self::Text,
        }
    }

    /// Some lines of a page of text.
    fn decode(self, page: &str) -> Result<Batch, FormatError> {
        match self {
            Self::Text | Self::Families(_) => exposition::decode(page.as_bytes(), 0, Limits::default()),
            Self::OpenMetrics => openmetrics::decode(page.as_bytes(), 0, Limits::default()),
        }
    }

    /// A line or some comments as a page.
    fn page_of(self, lines: &str) -> String {
        if self == Self::OpenMetrics { format!("{lines}\n# EOF\n") } else { format!("{lines}\n") }
    }
}

/// Why a page is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// A line has no meaning.
    #[error("line {line}: {reason}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It is no text at that byte.
    #[error("the page is not UTF-8 at byte {at}")]
    NotText {
        /// From 0.
        at: usize,
    },
    /// It is no page of protocol buffers.
    #[error(transparent)]
    Families(FormatError),
    /// A series of a page without lines cannot be stored.
    #[error("series {number}: {reason}")]
    Series {
        /// From 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// It does not end as OpenMetrics must: it was cut short.
    #[error("the page does not end with # EOF")]
    CutShort,
    /// What is said of families has no meaning.
    #[error("{0}")]
    Comments(String),
    /// More samples are left after relabelling than the job allows.
    #[error("more than {limit} samples, which is the job's sample_limit")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
}

/// What is decided once for each series: its labels after relabelling as bytes, or nothing when it is dropped.
pub type Prepare<'a> = &'a dyn Fn(&Labels) -> Result<Option<Vec<u8>>, String>;

/// How a page is to be read.
pub struct Reading<'a> {
    /// Its format.
    pub format: Format,
    /// The time of samples without one of their own, Unix milliseconds.
    pub at_ms: i64,
    /// Whether a sample's own time is taken.
    pub own_times: bool,
    /// Samples that may be left after relabelling; 0: as many as there are.
    pub sample_limit: usize,
    /// Labels of a new series to bytes.
    pub prepare: Prepare<'a>,
}

/// What was on a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples.
    pub scraped: usize,
    /// Samples that relabelling left.
    pub kept: usize,
    /// Series that were not on the page before.
    pub added: usize,
}

struct Known {
    /// As it stands on its line; empty when the page has no lines.
    text: Box<str>,
    /// None: dropped by relabelling.
    key: Option<Box<[u8]>>,
    /// The round in which it was seen last; 0 when its end has been told.
    seen: u64,
    /// The same before this round, to go back to when the page turns out to be wrong.
    seen_before: u64,
    /// Whether its end is told when it goes: not when it comes with times of its own.
    tracked: bool,
}

/// What is known of one target's series.
#[derive(Default)]
pub struct Cache {
    known: Vec<Known>,
    places: HashMap<u128, u32>,
    /// The places in the order of the page before.
    order: Vec<u32>,
    round: u64,
    comments: u64,
}

impl Cache {
    /// Reads a page and appends a write request of version 1 to `out`: its samples, the ends of series that are gone, and what is said
    /// of families when that is new.
    ///
    /// # Errors
    /// [`PageError`]. `out` is as it was, and everything counts as not seen: [`end_all`](Self::end_all) is to be called.
    pub fn read(
        &mut self,
        page: &(impl AsRef<[u8]> + ?Sized),
        how: &Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Counts, PageError> {
        self.round += 1;
        let start = out.len();
        let read = match how.format {
            Format::Families(wanted) => self.families(page.as_ref(), wanted, how, out),
            Format::Text | Format::OpenMetrics => std::str::from_utf8(page.as_ref())
                .map_err(|error| PageError::NotText { at: error.valid_up_to() })
                .and_then(|page| self.lines(page, how, out)),
        };
        if read.is_err() {
            out.truncate(start);
            // Nothing of this page was seen: what was on the one before is still to be ended.
            let round = self.round;
            self.known.iter_mut().filter(|k| k.seen == round).for_each(|k| k.seen = k.seen_before);
        } else {
            self.end_gone(how.at_ms, out);
            self.forget();
        }
        read
    }

    fn lines(&mut self, page: &str, how: &Reading<'_>, out: &mut Vec<u8>) -> Result<Counts, PageError> {
        let page = page.strip_suffix('\n').unwrap_or(page);
        if how.format == Format::OpenMetrics && !(page == "# EOF" || page.ends_with("\n# EOF")) {
            return Err(PageError::CutShort);
        }
        let mut counts = Counts::default();
        let before = std::mem::take(&mut self.order);
        let mut order = Vec::with_capacity(before.len());
        let mut comments = 0_u64;
        for (at, line) in page.split('\n').enumerate() {
            let line = if how.format == Format::Text {
                line.trim_start_matches([' ', '\t']).trim_end_matches('\r')
            } else {
                line
            };
            match line.as_bytes().first() {
                None => continue,
                Some(b'#') => {
                    comments = comments.rotate_left(5) ^ xxh3_64(line.as_bytes());
                    continue;
                }
                Some(_) => {}
            }
            let wrong = |reason: String| PageError::Line { line: at + 1, reason };
            // Pages mostly come in the same order: the next line is guessed, and only a wrong guess is looked for.
            let guess = before.get(order.len()).copied().filter(|place| is_of(line, &self.known[*place as usize].text));
            let place = match guess {
                Some(place) => place,
                None => self.look_up(line, how).map_err(wrong)?,
            };
            order.push(place);
            self.sample(place, line, how, out, &mut counts).map_err(wrong)?;
            if how.sample_limit > 0 && counts.kept > how.sample_limit {
                return Err(PageError::TooManySamples { limit: how.sample_limit });
            }
        }
        self.order = order;
        if comments != self.comments {
            about_families(page, how.format, out)?;
            self.comments = comments;
        }
        Ok(counts)
    }

    /// The place of a line's series; a new one is prepared.
    fn look_up(&mut self, line: &str, how: &Reading<'_>) -> Result<u32, String> {
        let text = series_text(line).ok_or("a label set is not closed")?;
        let hash = xxh3_128(text.as_bytes());
        if let Some(place) = self.places.get(&hash) {
            return Ok(*place);
        }
        let read = how.format.decode(&how.format.page_of(&format!("{text} 0")));
        let reason = |error: FormatError| match error {
            FormatError::Line { reason, .. } => reason,
            other => other.to_string(),
        };
        let batch = read.map_err(reason)?;
        let series = batch.series().next().ok_or("no series is named")?;
        let labels = series.labels.map_err(|error| error.to_string())?;
        self.known_from(hash, text, (how.prepare)(&labels)?)
    }

    /// A place for a series that is new.
    fn known_from(&mut self, hash: u128, text: &str, key: Option<Vec<u8>>) -> Result<u32, String> {
        let key = key.map(Vec::into_boxed_slice);
        let place = u32::try_from(self.known.len()).map_err(|_| "too many series")?;
        self.known.push(Known { text: text.into(), key, seen: 0, seen_before: 0, tracked: true });
        self.places.insert(hash, place);
        Ok(place)
    }

    /// What follows the series on its line: value, time, exemplar.
    fn sample(
        &mut self,
        place: u32,
        line: &str,
        how: &Reading<'_>,
        out: &mut Vec<u8>,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let text = self.known[place as usize].text.len();
        let (value, rest) = word(&line[text..]);
        let value = number(value).ok_or_else(|| format!("{:?} is not a number", short(value)))?;
        let (at, example) = if rest.is_empty() { ("", "") } else { split_time(rest, how.format)? };
        let own_ms = if at.is_empty() { None } else { Some(time(at, how.format)?) };
        let at_ms = own_ms.filter(|_| how.own_times).unwrap_or(how.at_ms);
        let known = self.seen(place, own_ms.is_none() || !how.own_times, counts);
        let Some(key) = &known.key else { return Ok(()) };
        counts.kept += 1;
        if example.is_empty() {
            encode::one_point(out, key, at_ms, value);
            return Ok(());
        }
        let read = how.format.decode(&how.format.page_of(line)).map_err(|error| error.to_string())?;
        let exemplars: Vec<_> = read.exemplars.iter().collect();
        encode::series(out, key, Content { points: &[(at_ms, value)], exemplars: &exemplars, histograms: &[] });
        Ok(())
    }

    /// Notes that a series is on this page.
    fn seen(&mut self, place: u32, tracked: bool, counts: &mut Counts) -> &Known {
        let round = self.round;
        let known = &mut self.known[place as usize];
        counts.scraped += 1;
        counts.added += usize::from(known.seen == 0 || known.seen + 1 < round);
        if known.seen != round {
            known.seen_before = std::mem::replace(&mut known.seen, round);
        }
        known.tracked = tracked;
        known
    }

    /// Tells the end of what was on the page before and is not on this one.
    fn end_gone(&mut self, at_ms: i64, out: &mut Vec<u8>) {
        let round = self.round;
        let gone = |k: &Known| k.seen + 1 == round && k.tracked && k.key.is_some() && k.seen > 0;
        if !self.known.iter().any(gone) {
            return;
        }
        // The same series may be written in another way now.
        let here: HashSet<Vec<u8>> = self
            .known
            .iter()
            .filter(|k| k.seen == round)
            .filter_map(|k| k.key.as_deref().map(<[u8]>::to_vec))
            .collect();
        for known in self.known.iter_mut().filter(|k| gone(k)) {
            known.seen = 0;
            let key = known.key.as_deref().unwrap_or_default();
            if !here.contains(key) {
                encode::one_point(out, key, at_ms, stale_marker());
            }
        }
    }

    /// Tells the end of everything that was on the last page: the target is gone, or does not answer. Says how many.
    pub fn end_all(&mut self, at_ms: i64, out: &mut Vec<u8>) -> usize {
        let mut ended = 0;
        for known in self.known.iter_mut().filter(|k| k.seen > 0) {
            let told = known.seen + 1 >= self.round && known.tracked;
            known.seen = 0;
            if let Some(key) = known.key.as_deref().filter(|_| told) {
                encode::one_point(out, key, at_ms, stale_marker());
                ended += 1;
            }
        }
        ended
    }

    /// Lets go of series that are not on the page any more, when they are many.
    fn forget(&mut self) {
        if self.known.len() <= 2 * self.order.len() + 100 {
            return;
        }
        let round = self.round;
        let mut moved: HashMap<u32, u32> = HashMap::new();
        let mut kept = Vec::with_capacity(self.order.len());
        for (place, known) in std::mem::take(&mut self.known).into_iter().enumerate() {
            if known.seen == round {
                moved.insert(place as u32, kept.len() as u32);
                kept.push(known);
            }
        }
        self.known = kept;
        self.places.retain(|_, place| match moved.get(place) {
            Some(new) => {
                *place = *new;
                true
            }
            None => false,
        });
        self.order.iter_mut().for_each(|place| *place = moved[place]);
    }
}

/// Whether a line is a sample of the series of that text. A name alone must not be followed by a label set.
fn is_of(line: &str, text: &str) -> bool {
    let Some(rest) = line.strip_prefix(text).filter(|_| !text.is_empty()) else { return false };
    let mut bytes = rest.bytes();
    matches!(bytes.next(), Some(b' ' | b'\t'))
        && (text.ends_with('}') || bytes.find(|b| *b != b' ' && *b != b'\t').is_some_and(|b| b != b'{'))
}

/// The text of the line's series: up to the value, the blanks before it left out.
fn series_text(line: &str) -> Option<&str> {
    let bytes = line.as_bytes();
    let end = bytes.iter().position(|b| matches!(b, b' ' | b'\t' | b'{')).unwrap_or(bytes.len());
    let brace = bytes[end..].iter().position(|b| *b != b' ' && *b != b'\t').map(|skip| end + skip);
    let Some(brace) = brace.filter(|at| bytes[*at] == b'{') else { return Some(&line[..end]) };
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate().skip(brace) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(&line[..=at]),
            _ => {}
        }
    }
    None
}

/// The first word and what is behind it, both without blanks before them.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    let end = text.bytes().position(|b| b == b' ' || b == b'\t').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches([' ', '\t']))
}

/// Time and exemplar of what follows a value.
fn split_time(rest: &str, format: Format) -> Result<(&str, &str), String> {
    if rest.starts_with('#') && format == Format::OpenMetrics {
        return Ok(("", rest));
    }
    let (at, more) = word(rest);
    if more.is_empty() || more.starts_with('#') && format == Format::OpenMetrics {
        Ok((at, more))
    } else {
        Err("more after the time".to_owned())
    }
}

fn time(text: &str, format: Format) -> Result<i64, String> {
    match format {
        Format::Text | Format::Families(_) => {
            text.parse().map_err(|_| format!("{:?} is not a time in milliseconds", short(text)))
        }
        Format::OpenMetrics => {
            let ms = text.parse::<f64>().ok().map(|s| s * 1000.0).filter(|ms| ms.abs() < 9e15);
            ms.map(|ms| ms.round() as i64).ok_or_else(|| format!("{:?} is not a time in seconds", short(text)))
        }
    }
}

/// Prometheus's own NaN: a NaN of a page must never be the stale marker.
const NAN: u64 = 0x7ff8_0000_0000_0001;

fn number(word: &str) -> Option<f64> {
    let digits = word.as_bytes();
    if (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) {
        return Some(digits.iter().fold(0_u64, |n, d| n * 10 + u64::from(d - b'0')) as f64);
    }
    let value: f64 = word.parse().ok()?;
    Some(if value.is_nan() { f64::from_bits(NAN) } else { value })
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// What the page says of families, appended.
fn about_families(page: &str, format: Format, out: &mut Vec<u8>) -> Result<(), PageError> {
    let lines: Vec<&str> =
        page.split('\n').filter(|line| line.trim_start().starts_with('#') && *line != "# EOF").collect();
    let read = format.decode(&format.page_of(&lines.join("\n")));
    let batch = read.map_err(|error| PageError::Comments(error.to_string()))?;
    batch.metadata.iter().for_each(|about| encode::metadata(out, about));
    Ok(())
}

#[cfg(test)]
mod tests;
