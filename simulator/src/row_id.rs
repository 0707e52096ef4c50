//! Ids and versions as the source writes them: counters, scrambled, in three groups of four.
//!
//! `:id` looks like `row-2km5_iap3-4ew6`. It is a counter behind a cipher: the source sorts by the counter,
//! so the order of the texts means nothing. 32 letters in twelve places and four separators in two places
//! hold 64 bits.

const LETTERS: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
const SEPARATORS: &[u8; 4] = b"-_~.";
/// Lengths of `row-` and `rv-` aside, a text has three groups of four and two separators.
const GROUPS_BYTES: usize = 14;

/// Spreads a number over all 64 bits; `unscramble` undoes it. (splitmix64's finaliser.)
pub fn scramble(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn unscramble(mut number: u64) -> u64 {
    number = (number ^ (number >> 31) ^ (number >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    number = (number ^ (number >> 27) ^ (number >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    number ^ (number >> 30) ^ (number >> 60)
}

/// Keeps the counter 0 from being the id of nothing but first letters.
const OFFSET: u64 = 0x9e37_79b9_7f4a_7c15;

/// Writes the id of a hidden number.
pub fn write_id(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"row-");
    write_groups(scramble(number.wrapping_add(OFFSET)), out);
}

/// Writes the version that stands for `bits`; other than an id it is never read back.
pub fn write_version(bits: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"rv-");
    write_groups(bits, out);
}

fn write_groups(mut bits: u64, out: &mut Vec<u8>) {
    for place in 0..GROUPS_BYTES {
        if place == 4 || place == 9 {
            out.push(SEPARATORS[(bits & 3) as usize]);
            bits >>= 2;
        } else {
            out.push(LETTERS[(bits & 31) as usize]);
            bits >>= 5;
        }
    }
}

/// Returns the hidden number that an id stands for. A text of another form gets a number too, by its hash, so
/// that files may bring ids of their own.
pub fn hidden_number(id: &[u8]) -> u64 {
    read_groups(id).map_or_else(|| hash(id), |bits| unscramble(bits).wrapping_sub(OFFSET))
}

fn read_groups(id: &[u8]) -> Option<u64> {
    let groups = id.strip_prefix(b"row-").filter(|groups| groups.len() == GROUPS_BYTES)?;
    let (mut bits, mut shift) = (0_u64, 0);
    for (place, byte) in groups.iter().enumerate() {
        let (alphabet, width): (&[u8], _) =
            if place == 4 || place == 9 { (SEPARATORS, 2) } else { (LETTERS, 5) };
        let digit = alphabet.iter().position(|letter| letter == byte)?;
        bits |= (digit as u64) << shift;
        shift += width;
    }
    Some(bits)
}

/// Hashes bytes, the same on every machine and in every version of the program. (FNV-1a over words, then
/// spread.)
pub fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ (bytes.len() as u64);
    for word in words {
        state = scramble(state ^ u64::from_le_bytes(*word)).wrapping_mul(0x0100_0000_01b3);
    }
    for byte in rest {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    scramble(state)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_hides_its_number(number: u64) {
            let mut id = Vec::new();
            write_id(number, &mut id);
            prop_assert_eq!(id.len(), 18);
            prop_assert_eq!(hidden_number(&id), number);
        }

        #[test]
        fn any_text_has_a_number(text: Vec<u8>) {
            prop_assert_eq!(hidden_number(&text), hidden_number(&text.clone()));
        }
    }

    #[test]
    fn the_text_sorts_otherwise_than_the_number() {
        let ids: Vec<Vec<u8>> = (0..100)
            .map(|number| {
                let mut id = Vec::new();
                write_id(number, &mut id);
                id
            })
            .collect();
        assert!(!ids.is_sorted());
    }
}
