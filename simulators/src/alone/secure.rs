//! The reader's side of OSDP's secure channel (SIA OSDP 2.2, annex D): it proves that it has the key, demands the same of the
//! box, and from then on believes only what is authenticated by the message before it.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// A block of the cipher.
type Block = [u8; 16];
/// What each first data block of a derived key says: two for authentication, one for encryption.
const MAC_OF_ALL_BUT_LAST: [u8; 2] = [0x01, 0x01];
const MAC_OF_LAST: [u8; 2] = [0x01, 0x02];
const ENCRYPTION: [u8; 2] = [0x01, 0x82];
/// The byte that begins the padding.
const PADDING: u8 = 0x80;

/// A channel from its challenge on.
pub(super) struct Session {
    encryption: Aes128,
    all_but_last: Aes128,
    last: Aes128,
    /// Proof of the reader, and of the box.
    proofs: [Block; 2],
    /// The authentication of the last command, and of the last reply.
    macs: [Block; 2],
}

impl Session {
    /// With the box's random number and the reader's own.
    pub fn new(key: Block, from_box: [u8; 8], own: [u8; 8]) -> Self {
        let master = Aes128::new(&Array::from(key));
        let derived = |first: [u8; 2]| {
            let mut seed = Array::from([0; 16]);
            seed[..2].copy_from_slice(&first);
            seed[2..8].copy_from_slice(&from_box[..6]);
            master.encrypt_block(&mut seed);
            Aes128::new(&seed)
        };
        let encryption = derived(ENCRYPTION);
        let proof = |first: [u8; 8], second: [u8; 8]| {
            let mut both = [0; 16];
            both[..8].copy_from_slice(&first);
            both[8..].copy_from_slice(&second);
            under(&encryption, both)
        };
        let proofs = [proof(from_box, own), proof(own, from_box)];
        let (all_but_last, last) = (derived(MAC_OF_ALL_BUT_LAST), derived(MAC_OF_LAST));
        let first_mac = under(&last, under(&all_but_last, proofs[1]));
        Self { encryption, all_but_last, last, proofs, macs: [[0; 16], first_mac] }
    }

    /// What shows the box that the reader has the key.
    pub fn proof(&self) -> Block {
        self.proofs[0]
    }

    /// Whether this shows that the box has it; then the first authentication of the channel.
    pub fn opens(&self, proof_of_box: &[u8]) -> Option<Block> {
        (proof_of_box == self.proofs[1]).then_some(self.macs[1])
    }

    /// The data of a command, if it is authentic: `before` is everything up to its authentication.
    pub fn command(&mut self, before: &[u8], mac: &[u8], data: &[u8], is_encrypted: bool) -> Option<Vec<u8>> {
        let own = self.mac(before, self.macs[1]);
        if own[..4] != *mac {
            return None;
        }
        let plain = if is_encrypted { self.decrypted(data)? } else { data.to_vec() };
        self.macs[0] = own;
        Some(plain)
    }

    /// A reply's data as they go over the channel.
    pub fn encrypted(&self, data: &[u8]) -> Vec<u8> {
        let mut chain = self.macs[0].map(|byte| !byte);
        let mut out = Vec::new();
        for block in padded(data).as_chunks::<16>().0 {
            chain = under(&self.encryption, xor(chain, *block));
            out.extend(chain);
        }
        out
    }

    /// What authenticates a reply.
    pub fn authenticated(&mut self, before: &[u8]) -> [u8; 4] {
        self.macs[1] = self.mac(before, self.macs[0]);
        let [a, b, c, d, ..] = self.macs[1];
        [a, b, c, d]
    }

    fn decrypted(&self, data: &[u8]) -> Option<Vec<u8>> {
        let mut chain = self.macs[1].map(|byte| !byte);
        let mut plain = Vec::new();
        for block in data.as_chunks::<16>().0 {
            let mut open = Array::from(*block);
            self.encryption.decrypt_block(&mut open);
            plain.extend(xor(chain, open.into()));
            chain = *block;
        }
        let end = plain.iter().rposition(|byte| *byte != 0)?;
        (data.len().is_multiple_of(16) && plain[end] == PADDING).then(|| plain[..end].to_vec())
    }

    fn mac(&self, message: &[u8], before: Block) -> Block {
        let whole = if message.len().is_multiple_of(16) { message.to_vec() } else { padded(message) };
        let (blocks, _) = whole.as_chunks::<16>();
        let Some((end, begin)) = blocks.split_last() else { return before };
        let chain = begin.iter().fold(before, |chain, block| under(&self.all_but_last, xor(chain, *block)));
        under(&self.last, xor(chain, *end))
    }
}

fn under(key: &Aes128, block: Block) -> Block {
    let mut block = Array::from(block);
    key.encrypt_block(&mut block);
    block.into()
}

fn padded(data: &[u8]) -> Vec<u8> {
    let mut padded = [data, &[PADDING]].concat();
    padded.resize(padded.len().next_multiple_of(16), 0);
    padded
}

fn xor(mut one: Block, other: Block) -> Block {
    one.iter_mut().zip(other).for_each(|(one, other)| *one ^= other);
    one
}
