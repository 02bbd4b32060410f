//! The file that a backup is: a plain tar archive (POSIX ustar), so that any `tar` can look into it, but one that is written in a single
//! way. The reader takes nothing else: every header must be, octet for octet, the one that the writer would have written, and the last
//! entry is the SHA-256 of all octets before it. So there is nothing in such a file that could be changed without being noticed.
//!
//! Absent: links, devices, owners, rights and paths that lead anywhere: there is no way to write or read them. What the entries mean
//! is the manifest's.

use ring::digest::{Context, Digest, SHA256};
use std::fmt::Write as _;
use std::io::{self, Read, Write};

/// Name of the last entry.
pub(super) const CHECKSUM: &str = "checksum.sha256";
/// The unit of a tar archive.
const BLOCK: usize = 512;
/// Longest name of an entry, for ustar: a prefix of 155, a slash and 100.
pub(super) const NAME_OCTETS_MAX: usize = 255;
/// Octets read at once.
const PIECE: usize = 128 * 1024;

/// SHA-256 in hexadecimal digits.
pub(super) fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// Copies exactly `size` octets, and gives their SHA-256.
///
/// # Errors
/// There are fewer, or either side fails.
pub(super) fn copy(from: &mut impl Read, size: u64, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; PIECE];
    let mut left = size;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        from.read_exact(&mut piece[..wanted])?;
        context.update(&piece[..wanted]);
        to(&piece[..wanted])?;
        left -= wanted as u64;
    }
    Ok(hex(&context.finish()))
}

/// Writes an archive.
pub(super) struct Writer<W> {
    out: W,
    seen: Context,
    /// Seconds since 1970 that all entries bear.
    time: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, time: u64) -> Writer<W> {
        Writer { out, seen: Context::new(&SHA256), time }
    }

    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.seen.update(octets);
        self.out.write_all(octets)
    }

    /// Adds an entry of `size` octets, and gives their SHA-256.
    ///
    /// # Errors
    /// The name is too long, there are fewer octets, or the disk fails.
    pub(super) fn add(&mut self, name: &str, size: u64, from: &mut impl Read) -> io::Result<String> {
        let header = header(name, size, self.time)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("the name {name} is too long")))?;
        self.put(&header)?;
        let digest = copy(from, size, |octets| self.put(octets))?;
        self.put(&[0; BLOCK][..padding(size)])?;
        Ok(digest)
    }

    /// Adds the checksum and the end.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let text = format!("{}\n", hex(&self.seen.clone().finish()));
        self.add(CHECKSUM, text.len() as u64, &mut text.as_bytes())?;
        self.put(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Why an archive is not taken.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be read.
    Io(io::Error),
    /// It ends too early.
    Truncated,
    /// It is not what a backup is, or not any more.
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Truncated,
            _ => Fault::Io(error),
        }
    }
}

/// Reads an archive from its beginning to its end.
pub(super) struct Reader<R> {
    from: R,
    seen: Context,
    time: Option<u64>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(from: R) -> Reader<R> {
        Reader { from, seen: Context::new(&SHA256), time: None }
    }

    /// The next entry's name and size. Its octets must be [taken](Reader::take) before the next is asked for.
    ///
    /// # Errors
    /// It is not what the writer would have written.
    pub(super) fn next(&mut self) -> Result<(String, u64), Fault> {
        let mut found = [0; BLOCK];
        self.from.read_exact(&mut found)?;
        self.seen.update(&found);
        let (name, size, time) =
            parse(&found).ok_or_else(|| Fault::Damaged("an entry's header makes no sense".into()))?;
        let time = *self.time.get_or_insert(time);
        match header(&name, size, time) {
            Some(expected) if expected == found => Ok((name, size)),
            _ => Err(Fault::Damaged(format!("the header of {name:?} is not as Undergird writes it"))),
        }
    }

    /// Takes an entry's octets, and gives their SHA-256.
    ///
    /// # Errors
    /// It ends too early, what follows is not zeros, or `to` fails.
    pub(super) fn take(&mut self, size: u64, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> Result<String, Fault> {
        let seen = &mut self.seen;
        // An error of the other side must not be taken for the archive's end.
        let mut failed = None;
        let digest = copy(&mut self.from, size, |octets| {
            seen.update(octets);
            to(octets).inspect_err(|error| failed = Some(io::Error::new(error.kind(), error.to_string())))
        });
        if let Some(error) = failed {
            return Err(Fault::Io(error));
        }
        let digest = digest?;
        self.zeros(padding(size))?;
        Ok(digest)
    }

    /// Takes the checksum and the end: whether all was as it was written.
    ///
    /// # Errors
    /// It was not.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        let expected = format!("{}\n", hex(&self.seen.clone().finish()));
        let (name, size) = self.next()?;
        if name != CHECKSUM || size != expected.len() as u64 {
            return Err(Fault::Damaged(format!("there is {name:?} where the checksum should be")));
        }
        let mut text = Vec::new();
        self.take(size, |octets| {
            text.extend_from_slice(octets);
            Ok(())
        })?;
        if text != expected.as_bytes() {
            return Err(Fault::Damaged("its checksum is not that of its contents".into()));
        }
        self.zeros(2 * BLOCK)?;
        match self.from.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(Fault::Damaged("something follows its end".into())),
        }
    }

    fn zeros(&mut self, count: usize) -> Result<(), Fault> {
        let mut found = [0; 2 * BLOCK];
        let found = &mut found[..count];
        self.from.read_exact(found)?;
        self.seen.update(found);
        match found.iter().all(|octet| *octet == 0) {
            true => Ok(()),
            false => Err(Fault::Damaged("there is something between its entries".into())),
        }
    }
}

fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// The one header of a plain file with this name, size and time; `None` when the name does not fit.
fn header(name: &str, size: u64, time: u64) -> Option<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let (prefix, last) = split(name)?;
    block[..last.len()].copy_from_slice(last.as_bytes());
    block[100..108].copy_from_slice(b"0000600\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    // More than eight digits (8 GiB) is written in binary, as GNU's tar does.
    if size < 1 << 33 {
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    } else {
        block[124] = 0x80;
        block[128..136].copy_from_slice(&size.to_be_bytes());
    }
    block[136..148].copy_from_slice(format!("{:011o}\0", time & 0o77_777_777_777).as_bytes());
    block[148..156].fill(b' ');
    block[156] = b'0';
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
    let sum: u32 = block.iter().map(|octet| u32::from(*octet)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(block)
}

/// A name as ustar's prefix and name.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.is_empty() || name.contains('\0') {
        return None;
    }
    if name.len() <= 100 {
        return Some(("", name));
    }
    let fits = |(at, _): &(usize, &str)| *at <= 155 && name.len() - at - 1 <= 100;
    name.match_indices('/')
        .find(fits)
        .map(|(at, _)| (&name[..at], &name[at + 1..]))
        .filter(|(_, last)| !last.is_empty())
}

/// Name, size and time in a header. Whether the rest of it is right shows when it is [made](header) again.
fn parse(block: &[u8; BLOCK]) -> Option<(String, u64, u64)> {
    let text = |from: usize, to: usize| {
        let field = &block[from..to];
        let end = field.iter().position(|octet| *octet == 0).unwrap_or(field.len());
        std::str::from_utf8(&field[..end]).ok()
    };
    let octal = |from: usize| u64::from_str_radix(text(from, from + 12)?, 8).ok();
    let size = match block[124] {
        0x80 => u64::from_be_bytes(block[128..136].try_into().ok()?),
        _ => octal(124)?,
    };
    let (name, prefix) = (text(0, 100)?, text(345, 500)?);
    let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
    Some((name, size, octal(136)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn made() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), 1_700_000_000);
        for (name, text) in
            [("manifest.json", "{}".to_owned()), ("main.db", "x".repeat(512)), ("files/a", String::new())]
        {
            writer.add(name, text.len() as u64, &mut text.as_bytes()).unwrap();
        }
        let long = format!("files/{}/{}", "d".repeat(100), "n".repeat(100));
        writer.add(&long, 3, &mut &b"abc"[..]).unwrap();
        writer.finish().unwrap()
    }

    fn read(octets: &[u8]) -> Result<Vec<(String, u64)>, Fault> {
        let mut reader = Reader::new(octets);
        let mut found = Vec::new();
        for _ in 0..4 {
            let (name, size) = reader.next()?;
            reader.take(size, |_| Ok(()))?;
            found.push((name, size));
        }
        reader.finish().map(|()| found)
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let found = read(&made()).unwrap();
        assert_eq!(found.iter().map(|(_, size)| *size).collect::<Vec<_>>(), [2, 512, 0, 3]);
        assert!(found[3].0.ends_with("nnn") && found[3].0.len() == 207);
    }

    #[test]
    fn any_octet_that_is_another_any_that_is_missing_and_any_more_is_noticed() {
        let sound = made();
        for at in 0..sound.len() {
            for change in [1u8, 0x20] {
                let mut edited = sound.clone();
                edited[at] ^= change;
                assert!(read(&edited).is_err(), "octet {at} changed by {change}");
            }
            assert!(read(&sound[..at]).is_err(), "cut at {at}");
        }
        assert!(matches!(read(&[&sound[..], b"x"].concat()), Err(Fault::Damaged(_))));
        assert!(matches!(read(&sound[..700]), Err(Fault::Truncated)));
    }

    #[test]
    fn names_and_sizes_beyond_the_old_limits() {
        for size in [0, (1 << 33) - 1, 1 << 33, u64::MAX >> 1] {
            let block = header("a", size, 7).unwrap();
            assert_eq!(parse(&block), Some(("a".to_owned(), size, 7)));
        }
        for name in ["", "a\0b", &"x".repeat(101), &format!("{}/a", "d".repeat(156)), &format!("{}/", "d".repeat(120))]
        {
            assert!(header(name, 0, 0).is_none(), "{name:?}");
        }
    }
}
