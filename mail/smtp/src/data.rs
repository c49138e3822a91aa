//! DATA content: the end, and what dot-stuffing added (RFC 5321 sections 4.1.1.4 and 4.5.2).
//!
//! * The content ends at a line that is `.` CRLF, where "line" begins at the start or after CRLF. Nothing else ends it:
//!   a CR or LF alone is no line end, so no other server's idea of one can smuggle a second message in.
//! * The first dot of a line is removed; all other octets come out as they went in.
//! * How the octets were cut into reads makes no difference.

/// What makes content unacceptable. It is read to its end all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// A CR without LF, or an LF without CR.
    pub bare: bool,
    /// A NUL: IMAP could never send it (RFC 9051 section 4.3).
    pub nul: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a line.
    Start,
    /// A dot at the start of a line; not put out.
    Dot,
    /// The same and a CR; not put out.
    DotCr,
    /// Inside a line.
    Middle,
    /// Behind a CR, which was put out.
    Cr,
}

/// Reads the content of one DATA.
#[derive(Debug)]
pub(crate) struct DataReader {
    state: State,
    /// What was wrong so far.
    pub faults: Faults,
}

impl DataReader {
    pub(crate) fn new() -> Self {
        Self { state: State::Start, faults: Faults::default() }
    }

    /// Takes octets up to the end of the content; `out` gets the message's. Returns how many were used, and true at the
    /// end: what follows is the next command.
    pub(crate) fn feed(&mut self, input: &[u8], mut out: impl FnMut(&[u8])) -> (usize, bool) {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if self.state == State::Middle {
                let run = memchr::memchr3(b'\r', b'\n', 0, &input[at..]).unwrap_or(input.len() - at);
                if run > 0 {
                    out(&input[at..at + run]);
                    at += run;
                    continue;
                }
            }
            at += 1;
            if self.step(byte, &mut out) {
                return (at, true);
            }
        }
        (at, false)
    }

    fn step(&mut self, byte: u8, out: &mut impl FnMut(&[u8])) -> bool {
        match (self.state, byte) {
            (State::DotCr, b'\n') => return true,
            (State::Start, b'.') => self.state = State::Dot,
            (State::Dot, b'\r') => self.state = State::DotCr,
            (State::Cr, b'\n') => {
                out(b"\n");
                self.state = State::Start;
            }
            (State::DotCr, _) => {
                self.faults.bare = true;
                out(b"\r");
                self.text(byte, out);
            }
            (State::Cr, _) => {
                self.faults.bare = true;
                self.text(byte, out);
            }
            (State::Start | State::Dot | State::Middle, _) => self.text(byte, out),
        }
        false
    }

    fn text(&mut self, byte: u8, out: &mut impl FnMut(&[u8])) {
        self.faults.bare |= byte == b'\n';
        self.faults.nul |= byte == 0;
        out(&[byte]);
        self.state = if byte == b'\r' { State::Cr } else { State::Middle };
    }
}

#[cfg(test)]
mod tests;
