//! The queue on a real disk: order, limits, damage, and starts after starts. It must not depend on how quick the disk is.

use super::*;
use crate::relay::frame::Record;

fn record(shard: u8, text: &str) -> Vec<u8> {
    let request = snap::raw::Encoder::new().compress_vec(text.as_bytes()).unwrap();
    let mut out = Vec::new();
    frame::put(&mut out, Record { shard, samples: 1, request: &request });
    out
}

/// Everything that a shard still has to send.
fn rest(reader: &mut Reader) -> String {
    let mut all = String::new();
    loop {
        let waiting = reader.next(3).unwrap();
        if waiting.samples == 0 {
            return all;
        }
        all.push_str(std::str::from_utf8(&waiting.request).unwrap());
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_read_in_order_by_its_shard_alone_and_again_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path(), 2048).unwrap();
    for n in 0..40 {
        queue.append(record(n % 2, &format!("{n},"))).await.unwrap();
    }
    assert!(segments(dir.path()).unwrap().len() > 2, "it is cut into files");
    let mut reader = queue.reader(1, Place::default()).unwrap();
    let half = reader.next(5).unwrap();
    assert_eq!(half.request, b"1,3,5,7,9,");
    drop((queue, reader));
    let queue = reopened(dir.path(), 2048);
    queue.append(record(1, "new")).await.unwrap();
    let mut reader = queue.reader(1, Place { done: half.end, begun: half.end }).unwrap();
    assert_eq!(rest(&mut reader), "11,13,15,17,19,21,23,25,27,29,31,33,35,37,39,new");
    let mut other = queue.reader(3, Place::default()).unwrap();
    assert_eq!(rest(&mut other), "");
}

/// The writer's thread of the queue before may need a moment to let go of the lock.
fn reopened(dir: &Path, limit: u64) -> Queue {
    Queue::open(dir, limit).unwrap()
}

#[tokio::test]
async fn a_full_queue_refuses_until_some_is_taken_and_what_it_has_stays() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path(), 1600).unwrap();
    let mut taken = 0;
    let refused = loop {
        match queue.append(record(0, &format!("{taken:030},"))).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, QueueError::Full { limit: 1600, .. }), "{refused}");
    let mut reader = queue.reader(0, Place::default()).unwrap();
    let some = reader.next(taken / 2).unwrap();
    queue.forget_before(some.end);
    queue.append(record(0, "after")).await.unwrap();
    assert!(rest(&mut reader).ends_with("after"));
    assert!(queue.size().0 <= 1600);
    assert!(Queue::open(dir.path(), 1600).is_err(), "nobody else has it meanwhile");
}

#[tokio::test]
async fn a_flipped_bit_costs_one_record_and_a_torn_end_none() {
    let dir = tempfile::tempdir().unwrap();
    let texts = ["first,", "second,", "third,"];
    let whole: Vec<u8> = texts.iter().flat_map(|text| record(0, text)).collect();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes.extend_from_slice(&record(0, "torn")[..20]);
        let queue = Queue::open(dir.path(), 1 << 20).unwrap();
        queue.forget_before(Position { segment: u64::MAX, offset: 0 });
        drop(queue);
        let only = dir.path().join("000000000001.relay");
        fs::write(&only, &bytes).unwrap();
        let queue = reopened(dir.path(), 1 << 20);
        let mut reader = queue.reader(0, Place::default()).unwrap();
        let sent = rest(&mut reader);
        let kept = texts.iter().filter(|text| sent.contains(**text)).count();
        assert_eq!(kept, 2, "bit {bit}: {sent:?}");
        assert_eq!(
            sent.len(),
            texts.iter().filter(|t| sent.contains(**t)).map(|t| t.len()).sum::<usize>(),
            "bit {bit}"
        );
        assert!(queue.damaged_bytes() > 0, "bit {bit}");
        drop(queue);
        fs::remove_file(&only).unwrap();
    }
}

#[test]
fn cursors_are_whole_or_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut cursors = Cursors::open(dir.path());
    let place = Place { done: Position { segment: 7, offset: 99 }, begun: Position { segment: 8, offset: 1 } };
    cursors.at[2] = place;
    cursors.save().unwrap();
    assert_eq!(Cursors::open(dir.path()).at[2], place);
    let good = fs::read(dir.path().join("cursors")).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(parse_cursors(&bytes), None, "bit {bit}");
    }
}

#[tokio::test]
async fn what_may_have_been_sent_is_sent_again_as_the_same_batch() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path(), 1 << 20).unwrap();
    for n in 0..3 {
        queue.append(record(0, &format!("{n},"))).await.unwrap();
    }
    let begun = queue.reader(0, Place::default()).unwrap().next(100).unwrap().end;
    queue.append(record(0, "more")).await.unwrap();
    let mut reader = queue.reader(0, Place { done: Position::default(), begun }).unwrap();
    assert_eq!(reader.next(100).unwrap().request, b"0,1,2,", "not together with what came later");
    assert_eq!(reader.next(100).unwrap().request, b"more");
}
