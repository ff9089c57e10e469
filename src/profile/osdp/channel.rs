//! The secure channel of OSDP: keys from the reader's key and two random numbers, every message authenticated, data
//! encrypted (SIA OSDP 2.2, annex D; test vectors from annex E).

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

use super::super::layout::Fault;
use super::Packet;

/// The random numbers of both sides, one pair for each time the channel is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Randoms {
    /// The box's.
    pub controller: [u8; 8],
    /// The reader's.
    pub reader: [u8; 8],
}

/// An open channel, as one side sees it. Both sides hold the same; each message moves both on.
#[derive(Clone)]
pub struct SecureChannel {
    encryption: [u8; 16],
    mac_first: [u8; 16],
    mac_last: [u8; 16],
    /// The authentication of the last command.
    command_mac: [u8; 16],
    /// The authentication of the last reply.
    reply_mac: [u8; 16],
    randoms: Randoms,
}

/// The types of the security block of packets on an open channel: authenticated, or authenticated and encrypted.
const COMMAND_PLAIN: u8 = 0x15;
const REPLY_PLAIN: u8 = 0x16;
const COMMAND_ENCRYPTED: u8 = 0x17;
const REPLY_ENCRYPTED: u8 = 0x18;

/// Whether packets with this security block carry an authentication.
pub fn has_mac(kind: u8) -> bool {
    matches!(kind, COMMAND_PLAIN | REPLY_PLAIN | COMMAND_ENCRYPTED | REPLY_ENCRYPTED)
}

impl SecureChannel {
    /// The channel of a reader with this key (SCBK).
    pub fn new(key: &[u8; 16], randoms: Randoms) -> Self {
        let derived = |first: u8, second: u8| {
            let mut block = [0; 16];
            block[..2].copy_from_slice(&[first, second]);
            block[2..8].copy_from_slice(&randoms.controller[..6]);
            encrypt(key, block)
        };
        let (mac_first, mac_last, encryption) = (derived(0x01, 0x01), derived(0x01, 0x02), derived(0x01, 0x82));
        let mut channel = Self { encryption, mac_first, mac_last, command_mac: [0; 16], reply_mac: [0; 16], randoms };
        channel.reply_mac = encrypt(&mac_last, encrypt(&mac_first, channel.controller_cryptogram()));
        channel
    }

    /// What proves to the reader that the box has the key.
    pub fn controller_cryptogram(&self) -> [u8; 16] {
        encrypt(&self.encryption, both(self.randoms.reader, self.randoms.controller))
    }

    /// What proves to the box that the reader has the key.
    pub fn reader_cryptogram(&self) -> [u8; 16] {
        encrypt(&self.encryption, both(self.randoms.controller, self.randoms.reader))
    }

    /// The first authentication of the channel (R-MAC-I), which the reader sends when it is open.
    pub fn first_mac(&self) -> [u8; 16] {
        self.reply_mac
    }

    /// The packet as it goes over the channel: encrypted where it has data, and authenticated.
    pub fn seal(&mut self, mut packet: Packet) -> Packet {
        let before = if packet.is_reply { self.command_mac } else { self.reply_mac };
        let kind = match (packet.is_reply, packet.data.is_empty()) {
            (false, true) => COMMAND_PLAIN,
            (false, false) => COMMAND_ENCRYPTED,
            (true, true) => REPLY_PLAIN,
            (true, false) => REPLY_ENCRYPTED,
        };
        if !packet.data.is_empty() {
            packet.data = self.encrypted(&packet.data, before);
        }
        packet.security = Some((kind, Vec::new()));
        packet.mac = None;
        let mac = self.mac(&packet.before_check(), before);
        self.remember(packet.is_reply, mac);
        packet.mac = mac.first_chunk::<4>().copied();
        packet
    }

    /// The packet behind one that came over the channel. A fault leaves the channel as it was.
    pub fn open(&mut self, mut packet: Packet) -> Result<Packet, Fault> {
        let before = if packet.is_reply { self.command_mac } else { self.reply_mac };
        let (found, kind) = match (&packet.mac, &packet.security) {
            (Some(mac), Some((kind, _))) => (*mac, *kind),
            _ => return Err(Fault::WrongCheck("authentication".to_owned())),
        };
        packet.mac = None;
        let mac = self.mac(&packet.before_check(), before);
        if mac[..4] != found {
            return Err(Fault::WrongCheck("authentication".to_owned()));
        }
        if matches!(kind, COMMAND_ENCRYPTED | REPLY_ENCRYPTED) {
            packet.data = self.decrypted(&packet.data, before)?;
        }
        self.remember(packet.is_reply, mac);
        packet.security = None;
        Ok(packet)
    }

    fn remember(&mut self, is_reply: bool, mac: [u8; 16]) {
        if is_reply {
            self.reply_mac = mac;
        } else {
            self.command_mac = mac;
        }
    }

    /// CBC over the message: all blocks with the first key, the last with the second.
    fn mac(&self, message: &[u8], before: [u8; 16]) -> [u8; 16] {
        let padded = if message.len().is_multiple_of(16) { message.to_vec() } else { padded(message) };
        let blocks: Vec<[u8; 16]> = blocks(&padded);
        let last = blocks.len().saturating_sub(1);
        blocks.iter().enumerate().fold(before, |chain, (n, block)| {
            encrypt(if n == last { &self.mac_last } else { &self.mac_first }, xor(chain, *block))
        })
    }

    fn encrypted(&self, data: &[u8], before: [u8; 16]) -> Vec<u8> {
        let mut chain = before.map(|byte| !byte);
        let mut out = Vec::with_capacity(data.len() + 16);
        for block in blocks(&padded(data)) {
            chain = encrypt(&self.encryption, xor(chain, block));
            out.extend(chain);
        }
        out
    }

    fn decrypted(&self, data: &[u8], before: [u8; 16]) -> Result<Vec<u8>, Fault> {
        let wrong = || Fault::WrongLength("encrypted data".to_owned());
        if data.is_empty() || !data.len().is_multiple_of(16) {
            return Err(wrong());
        }
        let mut chain = before.map(|byte| !byte);
        let mut out = Vec::with_capacity(data.len());
        for block in blocks(data) {
            let mut plain = Array::from(block);
            Aes128::new(&Array::from(self.encryption)).decrypt_block(&mut plain);
            out.extend(xor(chain, plain.into()));
            chain = block;
        }
        let end = out.iter().rposition(|byte| *byte != 0).filter(|end| out[*end] == 0x80).ok_or_else(wrong)?;
        out.truncate(end);
        Ok(out)
    }
}

/// Keys are never shown.
impl std::fmt::Debug for SecureChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecureChannel")
    }
}

fn encrypt(key: &[u8; 16], block: [u8; 16]) -> [u8; 16] {
    let mut block = Array::from(block);
    Aes128::new(&Array::from(*key)).encrypt_block(&mut block);
    block.into()
}

/// 80 and zeros up to the next whole block; a whole block more where it was one already.
fn padded(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    out.push(0x80);
    out.resize(out.len().next_multiple_of(16), 0);
    out
}

fn blocks(data: &[u8]) -> Vec<[u8; 16]> {
    data.as_chunks::<16>().0.to_vec()
}

fn both(first: [u8; 8], second: [u8; 8]) -> [u8; 16] {
    let mut block = [0; 16];
    block[..8].copy_from_slice(&first);
    block[8..].copy_from_slice(&second);
    block
}

fn xor(mut a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    for (a, b) in a.iter_mut().zip(b) {
        *a ^= b;
    }
    a
}
