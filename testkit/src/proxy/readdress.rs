//! Replaces the address of a broker by another one of the same host in what the broker says.

/// What is replaced by what, and what of an answer is held back until it can be told.
///
/// An answer of Kafka begins with its length. Where an answer ends nothing is held back: the client waits for
/// it.
#[derive(Debug, Clone)]
pub struct Readdress {
    from: Vec<u8>,
    to: Vec<u8>,
    length: Vec<u8>,
    remaining: usize,
    held: Vec<u8>,
}

/// A host as each version of the protocol writes it, and behind it the port.
fn written(host: &str, port: u16) -> Vec<u8> {
    [host.as_bytes(), &u32::from(port).to_be_bytes()].concat()
}

impl Readdress {
    /// Prepares to replace a port of a host.
    pub fn new(host: &str, port: u16, by: u16) -> Self {
        let (from, to) = (written(host, port), written(host, by));
        Self { from, to, length: Vec::new(), remaining: 0, held: Vec::new() }
    }

    /// Returns what can be passed on of what has come so far.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + self.from.len());
        while !bytes.is_empty() {
            if self.remaining == 0 {
                let (length, rest) = bytes.split_at(bytes.len().min(4 - self.length.len()));
                self.length.extend_from_slice(length);
                out.extend_from_slice(length);
                bytes = rest;
                if let Ok(length) = <[u8; 4]>::try_from(self.length.as_slice()) {
                    self.remaining = u32::from_be_bytes(length) as usize;
                    self.length.clear();
                }
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(self.remaining));
            self.held.extend_from_slice(part);
            self.remaining -= part.len();
            bytes = rest;
            self.replace(&mut out);
        }
        out
    }

    fn replace(&mut self, out: &mut Vec<u8>) {
        let width = self.from.len();
        let mut at = 0;
        while at + width <= self.held.len() {
            if self.held[at..at + width] == self.from[..] {
                self.held[at..at + width].copy_from_slice(&self.to);
                at += width;
            } else {
                at += 1;
            }
        }
        let end = if self.remaining == 0 { self.held.len() } else { at };
        out.extend(self.held.drain(..end));
    }
}
