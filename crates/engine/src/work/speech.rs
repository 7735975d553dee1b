//! What of an answer may be shown already? Whole characters only, and nothing that a stop string may begin with.

/// An answer on its way out.
#[derive(Debug, Default)]
pub struct Speech {
    held: Vec<u8>,
    stops: Vec<String>,
}

impl Speech {
    /// An answer that ends before the first of `stops`. An empty one stops nothing.
    pub fn new(stops: &[String]) -> Self {
        Self { held: Vec::new(), stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect() }
    }

    /// Adds what was generated, and gives what may be shown of it; the second is whether a stop string came, and then
    /// nothing more will.
    pub fn hear(&mut self, bytes: &[u8]) -> (String, bool) {
        self.held.extend(bytes);
        let found = self.stops.iter().filter_map(|stop| find(&self.held, stop.as_bytes())).min();
        if let Some(at) = found {
            self.held.truncate(at);
            return (self.finish(), true);
        }
        let begun = self.stops.iter().map(|stop| begun(&self.held, stop.as_bytes())).max().unwrap_or(0);
        let sure = whole_characters(&self.held[..self.held.len() - begun]);
        let shown = self.held.drain(..sure).collect::<Vec<u8>>();
        (String::from_utf8_lossy(&shown).into_owned(), false)
    }

    /// What was held back. Halves of characters become the replacement character.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// How many of the last bytes are what `stop` begins with.
fn begun(bytes: &[u8], stop: &[u8]) -> usize {
    let most = bytes.len().min(stop.len() - 1);
    (1..=most).rev().find(|length| bytes.ends_with(&stop[..*length])).unwrap_or(0)
}

/// How many bytes are whole characters, or can never become one.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        // A character that is only cut off waits for its end; damage in the middle waits for nothing.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => {
            let cut = (1..=3.min(bytes.len())).find(|back| {
                let tail = &bytes[bytes.len() - back..];
                matches!(std::str::from_utf8(tail), Err(error) if error.valid_up_to() == 0 && error.error_len().is_none())
            });
            bytes.len() - cut.unwrap_or(0)
        }
    }
}
