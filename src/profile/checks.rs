//! Check values of frames: sums, exclusive or, and CRCs by their parameters.

use super::language::frame::{CheckName, Crc};

/// How a check is made: by a rule, never copied from a manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A CRC.
    Crc(Crc),
    /// The sum of the bytes.
    Sum,
    /// What makes the sum zero.
    SumToZero,
    /// Exclusive or.
    Xor,
}

impl Check {
    /// The rule behind a name.
    pub fn named(name: CheckName) -> Self {
        let crc = |width, polynomial, start, reflected, xor_out| {
            Self::Crc(Crc { width, polynomial, start, reflected, xor_out })
        };
        match name {
            CheckName::Crc16Modbus => crc(16, 0x8005, 0xFFFF, true, 0),
            CheckName::Crc16Arc => crc(16, 0x8005, 0, true, 0),
            CheckName::Crc16Xmodem => crc(16, 0x1021, 0, false, 0),
            CheckName::Crc16Ccitt => crc(16, 0x1021, 0xFFFF, false, 0),
            CheckName::Crc16Start1d0f => crc(16, 0x1021, 0x1D0F, false, 0),
            CheckName::Crc16X25 => crc(16, 0x1021, 0xFFFF, true, 0xFFFF),
            CheckName::Crc16Kermit => crc(16, 0x1021, 0, true, 0),
            CheckName::Crc8 => crc(8, 0x07, 0, false, 0),
            CheckName::Crc32 => crc(32, 0x04C1_1DB7, 0xFFFF_FFFF, true, 0xFFFF_FFFF),
            CheckName::Sum => Self::Sum,
            CheckName::SumToZero => Self::SumToZero,
            CheckName::Xor => Self::Xor,
        }
    }

    /// The check of these bytes, as wide as `width` bytes.
    pub fn of(self, bytes: &[u8], width: usize) -> u64 {
        let sum = || bytes.iter().fold(0u64, |sum, byte| sum.wrapping_add(u64::from(*byte)));
        let value = match self {
            Self::Crc(crc) => crc_of(&crc, bytes),
            Self::Sum => sum(),
            Self::SumToZero => sum().wrapping_neg(),
            Self::Xor => u64::from(bytes.iter().fold(0, |xor, byte| xor ^ byte)),
        };
        value & mask(u32::try_from(width.min(8) * 8).unwrap_or(64))
    }
}

/// CRC-16 with polynomial 1021 and start 1D0F, as OSDP ends its packets.
pub fn crc16_1d0f(bytes: &[u8]) -> u16 {
    u16::try_from(Check::named(CheckName::Crc16Start1d0f).of(bytes, 2)).expect("two bytes wide")
}

fn crc_of(words: &Crc, bytes: &[u8]) -> u64 {
    let width = words.width.clamp(8, 32);
    let top = 1u64 << (width - 1);
    let mut crc = words.start & mask(width);
    for byte in bytes {
        let byte = if words.reflected { byte.reverse_bits() } else { *byte };
        crc ^= u64::from(byte) << (width - 8);
        for _ in 0..8 {
            crc = if crc & top == 0 { crc << 1 } else { (crc << 1) ^ words.polynomial };
            crc &= mask(width);
        }
    }
    let crc = if words.reflected { crc.reverse_bits() >> (64 - width) } else { crc };
    (crc ^ words.xor_out) & mask(width)
}

fn mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values that the catalogue of parametrised CRC algorithms gives for the text 123456789.
    #[test]
    fn every_named_crc_has_its_catalogue_value() {
        check(CheckName::Crc16Modbus, 2, 0x4B37);
        check(CheckName::Crc16Arc, 2, 0xBB3D);
        check(CheckName::Crc16Xmodem, 2, 0x31C3);
        check(CheckName::Crc16Ccitt, 2, 0x29B1);
        check(CheckName::Crc16Start1d0f, 2, 0xE5CC);
        check(CheckName::Crc16X25, 2, 0x906E);
        check(CheckName::Crc16Kermit, 2, 0x2189);
        check(CheckName::Crc8, 1, 0xF4);
        check(CheckName::Crc32, 4, 0xCBF4_3926);
        check(CheckName::Sum, 1, 0xDD);
        check(CheckName::Sum, 2, 0x01DD);
        check(CheckName::SumToZero, 1, 0x23);
        check(CheckName::Xor, 1, 0x31);
    }

    fn check(name: CheckName, width: usize, expect: u64) {
        assert_eq!(Check::named(name).of(b"123456789", width), expect, "{name:?}");
    }
}
