//! Message: what a server says while somebody signs in and while a command runs (RFC 4252, RFC 4254, RFC 4256). Bytes in,
//! value out.

use super::packet::{parse_disconnect, take};

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It goes on to what was asked for (signing in).
    Accepted,
    /// Whoever asked is let in.
    SignedIn,
    /// Not so; these ways of signing in may be tried.
    Refused {
        /// `publickey`, `password`, `keyboard-interactive`.
        ways: Vec<String>,
        /// Whether what was tried was right, and more is wanted.
        partly: bool,
    },
    /// A number whose meaning depends on the way of signing in: a new password is wanted, a key would do, or questions.
    Asks(Vec<u8>),
    /// A channel is open.
    Opened {
        /// Its number over there.
        theirs: u32,
    },
    /// No channel is opened, and why.
    NotOpened(String),
    /// What was asked for on the channel is done.
    Done,
    /// It is not.
    NotDone,
    /// What the command writes.
    Output(Vec<u8>),
    /// What the command complains about.
    Complaint(Vec<u8>),
    /// The command has ended with that code.
    Ended(u32),
    /// A signal of that name has ended the command.
    Killed(String),
    /// The command writes no more.
    Silent,
    /// The channel is closed.
    Closed,
    /// It wants something that must be answered, if only with a no.
    Wants {
        /// Whether it is about the whole connection and not the channel.
        global: bool,
    },
    /// It wants new keys.
    NewKeys,
    /// It breaks off, and why.
    BreaksOff(String),
    /// Nothing that matters here.
    Nothing,
}

/// Reads a message; `None` when it is damaged.
pub fn parse_message(payload: &[u8]) -> Option<Message> {
    let (kind, mut rest) = payload.split_first()?;
    let number = |rest: &mut &[u8]| {
        let (number, after) = rest.split_first_chunk::<4>()?;
        *rest = after;
        Some(u32::from_be_bytes(*number))
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match kind {
        1 => Message::BreaksOff(parse_disconnect(payload)?),
        6 => Message::Accepted,
        20 => Message::NewKeys,
        51 => {
            let ways = std::str::from_utf8(take(&mut rest)?).ok()?;
            let ways = ways.split(',').filter(|way| !way.is_empty()).take(20).map(str::to_owned).collect();
            Message::Refused { ways, partly: *rest.first()? != 0 }
        }
        52 => Message::SignedIn,
        60 => Message::Asks(rest.to_vec()),
        80 => {
            take(&mut rest)?;
            if *rest.first()? == 0 { Message::Nothing } else { Message::Wants { global: true } }
        }
        91 => {
            number(&mut rest)?;
            Message::Opened { theirs: number(&mut rest)? }
        }
        92 => {
            number(&mut rest)?;
            number(&mut rest)?;
            Message::NotOpened(text(take(&mut rest)?))
        }
        94 => {
            number(&mut rest)?;
            Message::Output(take(&mut rest)?.to_vec())
        }
        95 => {
            number(&mut rest)?;
            number(&mut rest)?;
            Message::Complaint(take(&mut rest)?.to_vec())
        }
        96 => Message::Silent,
        97 => Message::Closed,
        98 => {
            number(&mut rest)?;
            let what = take(&mut rest)?;
            let (wants, mut rest) = rest.split_first()?;
            match what {
                b"exit-status" => Message::Ended(number(&mut rest)?),
                b"exit-signal" => Message::Killed(text(take(&mut rest)?)),
                _ if *wants != 0 => Message::Wants { global: false },
                _ => Message::Nothing,
            }
        }
        99 => Message::Done,
        100 => Message::NotDone,
        _ => Message::Nothing, // A banner, a wider window, something new: none of it changes what is done here.
    })
}

/// Reads how many questions are asked (SSH_MSG_USERAUTH_INFO_REQUEST, without its first byte).
pub fn parse_questions(mut rest: &[u8]) -> Option<u32> {
    for _ in 0..3 {
        take(&mut rest)?; // What it is called, what to do, the language.
    }
    rest.first_chunk().map(|number| u32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::packet::string;
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let on_channel = |kind: u8, rest: &[u8]| [&[kind, 0, 0, 0, 0], rest].concat();
        for (bytes, message) in [
            (vec![6], Message::Accepted),
            (vec![52], Message::SignedIn),
            (
                [&[51][..], &string(b"publickey,password"), &[0]].concat(),
                Message::Refused { ways: vec!["publickey".into(), "password".into()], partly: false },
            ),
            (on_channel(91, &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]), Message::Opened { theirs: 7 }),
            (on_channel(94, &string(b"hello")), Message::Output(b"hello".to_vec())),
            (on_channel(95, &[&[0, 0, 0, 1][..], &string(b"oh")].concat()), Message::Complaint(b"oh".to_vec())),
            (on_channel(98, &[&string(b"exit-status")[..], &[0, 0, 0, 0, 2]].concat()), Message::Ended(2)),
            (
                on_channel(98, &[&string(b"exit-signal")[..], &[0], &string(b"KILL")].concat()),
                Message::Killed("KILL".into()),
            ),
            (on_channel(98, &[&string(b"keepalive@openssh.com")[..], &[1]].concat()), Message::Wants { global: false }),
            ([&[80][..], &string(b"hostkeys-00@openssh.com"), &[0]].concat(), Message::Nothing),
            (on_channel(97, &[]), Message::Closed),
            (vec![53, 1, 2], Message::Nothing),
        ] {
            assert_eq!(parse_message(&bytes), Some(message), "{bytes:?}");
        }
        assert_eq!(parse_message(&[94, 0, 0, 0, 0, 0, 0, 0, 9, 1]), None, "shorter than it says");
        let questions = [string(b""), string(b""), string(b""), vec![0, 0, 0, 1]].concat();
        assert_eq!(parse_questions(&questions), Some(1));
    }

    proptest! {
        #[test]
        fn no_message_panics(kind: u8, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut payload = vec![kind];
            payload.extend_from_slice(&bytes);
            let _ = (parse_message(&payload), parse_questions(&bytes));
        }
    }
}
