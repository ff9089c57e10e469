//! How the secure channel of a reader is opened: a challenge, the reader's proof that it has the key, and ours (SIA OSDP
//! 2.2, annex D).

use super::super::layout::Fault;
use super::super::statement::Rejection;
use super::{Answer, OsdpCodec, Packet, Randoms, SecureChannel};

/// The key that every reader has when it is new, by annex D: good for nothing but to give it another.
pub const DEFAULT_KEY: [u8; 16] = *b"0123456789:;<=>?";

/// The security blocks of the four packets, and what the reader's last one says when it agrees.
const CHALLENGE_BLOCK: u8 = 0x11;
const PROOF_BLOCK: u8 = 0x13;
const AGREED: u8 = 0x01;
/// Commands and replies.
const CHALLENGE: u8 = 0x76;
const PROOF: u8 = 0x77;
const CRYPTOGRAM: u8 = 0x76;
const FIRST_MAC: u8 = 0x78;

impl OsdpCodec {
    /// The first packet: a random number of ours.
    pub fn challenge(&self, sequence: u8, key: &[u8; 16], random: [u8; 8]) -> Packet {
        let mut packet = self.packet(sequence, CHALLENGE, &random);
        packet.security = Some((CHALLENGE_BLOCK, vec![which(key)]));
        packet
    }

    /// The channel, once the reader has shown that it has the key; `None` where it has another or refuses.
    pub fn challenged(
        &self,
        sequence: u8,
        bytes: &[u8],
        key: &[u8; 16],
        random: [u8; 8],
    ) -> Result<Option<SecureChannel>, Rejection> {
        let packet = self.ours(sequence, bytes)?;
        if packet.code != CRYPTOGRAM {
            return Ok(None);
        }
        let (Some(reader), Some(shown)) = (
            packet.data.get(8..16).and_then(|random| random.try_into().ok()),
            packet.data.get(16..32).and_then(|shown| <[u8; 16]>::try_from(shown).ok()),
        ) else {
            return Err(Fault::WrongLength("cryptogram".to_owned()).into());
        };
        let channel = SecureChannel::new(key, Randoms { controller: random, reader });
        Ok((channel.reader_cryptogram() == shown).then_some(channel))
    }

    /// The second packet: that the box has the key, too.
    pub fn proof(&self, sequence: u8, key: &[u8; 16], channel: &SecureChannel) -> Packet {
        let mut packet = self.packet(sequence, PROOF, &channel.controller_cryptogram());
        packet.security = Some((PROOF_BLOCK, vec![which(key)]));
        packet
    }

    /// Whether the reader agrees, so that the channel is open.
    pub fn proved(&self, sequence: u8, bytes: &[u8], channel: &SecureChannel) -> Result<bool, Rejection> {
        let packet = self.ours(sequence, bytes)?;
        let agrees = packet.security.as_ref().is_some_and(|(_, held)| held.first() == Some(&AGREED));
        Ok(packet.code == FIRST_MAC && agrees && packet.data == channel.first_mac())
    }

    /// What bytes mean as the answer to a packet that went over the open channel. Nothing that comes in the clear counts,
    /// but that the reader is busy or has forgotten the channel.
    pub fn answered_over(&self, channel: &mut SecureChannel, sequence: u8, bytes: &[u8]) -> Result<Answer, Rejection> {
        let packet = self.ours(sequence, bytes)?;
        if packet.mac.is_none() {
            return match self.meaning(&packet)? {
                answer @ (Answer::Busy | Answer::Refused(_)) => Ok(answer),
                Answer::Taken | Answer::Says(_) | Answer::BadCard(_) | Answer::Other(_) => {
                    Err(Fault::WrongCheck("authentication".to_owned()).into())
                }
            };
        }
        let packet = channel.open(packet)?;
        self.meaning(&packet)
    }
}

fn which(key: &[u8; 16]) -> u8 {
    u8::from(*key != DEFAULT_KEY)
}
