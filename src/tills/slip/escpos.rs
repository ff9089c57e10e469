//! A slip as the bytes of a receipt printer: ESC/POS with Chinese characters in GBK, the dialect of the shipped profile.
//!
//! Source: Epson, ESC/POS command reference (ESC @, FS &, ESC a, ESC d, GS V, GS ( k with functions 165 to 181).

use super::{Row, Slip, gbk};

/// Begin anew, and read two bytes as one Chinese character.
const BEGIN: &[u8] = b"\x1B\x40\x1C\x26";
/// Three empty lines and a cut.
const END: &[u8] = b"\x1Bd\x03\x1DV\x00";
const LEFT: &[u8] = b"\x1Ba\x00";
const CENTRE: &[u8] = b"\x1Ba\x01";
/// Model 2, six dots a module, 15 % of it may be damaged.
const QR_AS: &[u8] = b"\x1D(k\x04\x001A2\x00\x1D(k\x03\x001C\x06\x1D(k\x03\x001E1";
const QR_PRINT: &[u8] = b"\x1D(k\x03\x001Q0";

impl Slip {
    /// The bytes that print it.
    pub(super) fn bytes(&self, columns: usize) -> Vec<u8> {
        let mut bytes = BEGIN.to_vec();
        for row in &self.rows {
            match row {
                Row::Qr(text) => {
                    bytes.extend(CENTRE);
                    bytes.extend(qr(text));
                    bytes.extend(b"\n");
                    bytes.extend(LEFT);
                }
                Row::Title(_) | Row::Text(_) | Row::Pair(..) | Row::Rule => {
                    for line in row.lines(columns) {
                        bytes.extend(gbk(&line));
                        bytes.push(b'\n');
                    }
                }
            }
        }
        bytes.extend(END);
        bytes
    }
}

fn qr(text: &str) -> Vec<u8> {
    let data = gbk(text);
    let size = u16::try_from(data.len() + 3).unwrap_or(u16::MAX).to_le_bytes();
    let mut bytes = QR_AS.to_vec();
    bytes.extend(b"\x1D(k");
    bytes.extend(size);
    bytes.extend(b"1P0");
    bytes.extend(data);
    bytes.extend(QR_PRINT);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printer_gets_chinese_in_gbk_and_a_qr_code() {
        let mut slip = Slip::default();
        slip.text("停车费 10.00");
        slip.qr("AB");
        let bytes = slip.bytes(32);
        let text = b"\x1B\x40\x1C\x26\xCD\xA3\xB3\xB5\xB7\xD1 10.00\n";
        assert_eq!(&bytes[..text.len()], text);
        let code = b"\x1D(k\x05\x001P0AB\x1D(k\x03\x001Q0";
        assert!(bytes.windows(code.len()).any(|found| found == code), "{}", hex::encode(&bytes));
        assert!(bytes.ends_with(END));
    }
}
