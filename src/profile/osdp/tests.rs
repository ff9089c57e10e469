//! Packets of the standard's annex E and of public test suites; the secure channel's vectors; damage of every kind.

use super::*;

#[test]
fn packets_are_read_and_written_to_the_same_bytes() {
    for bytes in [
        "53 7F 0D 00 04 6E 00 80 25 00 00 6E 38",
        "53 7F 0C 00 00 6E 00 80 25 00 00 0F",
        "53 00 09 00 04 61 00 C0 66",
        "53 00 08 00 00 61 00 44",
        "53 65 08 00 04 60 60 90",
        "53 65 09 00 04 61 00 D9 7A",
        "53 E5 07 00 01 40 80",
        "53 E5 09 00 05 41 01 0E 8F",
        "53 00 08 00 04 60 EB AA",
        "53 80 08 00 04 40 59 AC",
        "53 80 10 00 05 50 00 01 1A 00 80 98 1C C0 53 F1",
    ] {
        let bytes = super::super::bytes(bytes).expect("hex");
        let packet = Packet::read(&bytes).expect("a packet");
        assert_eq!(packet.bytes(), bytes);
    }
}

#[test]
fn a_flipped_bit_a_cut_and_a_byte_too_many_are_faults() {
    let whole = super::super::bytes("53 80 10 00 05 50 00 01 1A 00 80 98 1C C0 53 F1").expect("hex");
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Packet::read(&bytes).is_err(), "bit {bit}");
    }
    for length in 0..whole.len() {
        assert!(Packet::read(&whole[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(Packet::read(&[whole, vec![0]].concat()), Err(Fault::LeftOver(1)));
}

/// SIA OSDP annex E, as public test suites quote it.
#[test]
fn the_secure_channel_gives_the_standard_s_vectors() {
    let channel = SecureChannel::new(&DEFAULT_KEY, RANDOMS);
    let is = |found: [u8; 16], expect: &str| assert_eq!(hex::encode_upper(found), expect);
    is(channel.controller_cryptogram(), "26D3356E07762D262801FC8E6665A891");
    is(channel.reader_cryptogram(), "FDE5D2F428EC16312471EA3C02BD7796");
    is(channel.first_mac(), "B2A30057EB98BA2229EC1F875662B524");
}

#[test]
fn a_sealed_packet_is_opened_by_the_other_side_once() {
    let mut controller = SecureChannel::new(&DEFAULT_KEY, RANDOMS);
    let mut reader = controller.clone();
    for (n, data) in [&[][..], &[1, 2, 3], &[0; 16], &[0x80; 33]].into_iter().enumerate() {
        let command = packet(false, n, data);
        let sealed = controller.seal(command.clone());
        let over_the_line = Packet::read(&sealed.bytes()).expect("a packet");
        assert_eq!(reader.open(over_the_line.clone()).expect("right"), command);
        let reply = packet(true, n, data);
        let sealed = reader.seal(reply.clone());
        assert_eq!(controller.open(Packet::read(&sealed.bytes()).expect("a packet")).expect("right"), reply);
        assert!(reader.open(over_the_line).is_err(), "a repeated command is not taken");
    }
}

#[test]
fn a_changed_sealed_packet_is_refused_even_with_a_right_check() {
    let mut controller = SecureChannel::new(&DEFAULT_KEY, RANDOMS);
    let reader = controller.clone();
    let sealed = controller.seal(packet(false, 1, &[9, 9]));
    for n in 0..sealed.data.len() {
        let mut changed = sealed.clone();
        changed.data[n] ^= 1;
        assert!(reader.clone().open(changed).is_err());
    }
    let mut bare = sealed.clone();
    (bare.security, bare.mac) = (None, None);
    assert!(reader.clone().open(bare).is_err(), "a packet without authentication is not taken on a channel");
    assert!(reader.clone().open(sealed).is_ok());
}

const DEFAULT_KEY: [u8; 16] = *b"0123456789:;<=>?";
const RANDOMS: Randoms = Randoms {
    controller: [0xB0, 0xB1, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7],
    reader: [0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7],
};

fn packet(is_reply: bool, n: usize, data: &[u8]) -> Packet {
    Packet {
        address: 5,
        is_reply,
        sequence: u8::try_from(n % 4).expect("small"),
        check: OsdpCheck::Crc,
        security: None,
        code: if is_reply { 0x50 } else { 0x69 },
        data: data.to_vec(),
        mac: None,
    }
}
