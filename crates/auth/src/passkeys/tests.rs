//! Answers of authenticators, good ones and each kind of spoiled one, made by hand.
#![allow(clippy::unwrap_used)]

use super::ceremony::{Bad, Expected, Seen, assert as assert_answer, register};
use super::cose::PublicKey;
use super::relying::RelyingParty;
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

const ORIGIN: &str = "https://app.example.org";
const CHALLENGE: [u8; 32] = [7; 32];
const ID: [u8; 16] = [9; 16];
/// Present, verified.
const FLAGS: u8 = 0b0000_0101;

fn party() -> RelyingParty {
    RelyingParty { id: "example.org".into(), name: "Blog".into(), origins: vec![ORIGIN.into()] }
}

fn es256() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap()
}

/// `{1: 2, 3: -7, -1: 1, -2: x, -3: y}`.
fn cose_es256(key: &EcdsaKeyPair) -> Vec<u8> {
    let point = key.public_key().as_ref();
    [[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32].as_slice(), &point[1..33], &[0x22, 0x58, 32], &point[33..]].concat()
}

/// `{1: 1, 3: -8, -1: 6, -2: x}`.
fn cose_ed25519(key: &Ed25519KeyPair) -> Vec<u8> {
    [[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32].as_slice(), key.public_key().as_ref()].concat()
}

/// What an authenticator and its browser say, part by part.
#[derive(Clone)]
struct Said {
    kind: &'static str,
    challenge: [u8; 32],
    origin: String,
    /// Further members of the client data.
    more: &'static str,
    domain: &'static str,
    flags: u8,
    count: u32,
    /// In the credential's data.
    id: Vec<u8>,
    /// Beside it.
    claimed_id: Vec<u8>,
    key: Vec<u8>,
    tail: Vec<u8>,
    /// `fmt`, and the encoded statement.
    format: &'static str,
    statement: Vec<u8>,
}

impl Said {
    fn made(key: Vec<u8>) -> Said {
        Said {
            kind: "webauthn.create",
            challenge: CHALLENGE,
            origin: ORIGIN.into(),
            more: r#","crossOrigin":false"#,
            domain: "example.org",
            flags: FLAGS | 1 << 6,
            count: 0,
            id: ID.to_vec(),
            claimed_id: ID.to_vec(),
            key,
            tail: Vec::new(),
            format: "none",
            statement: vec![0xa0],
        }
    }

    fn signed() -> Said {
        Said { kind: "webauthn.get", flags: FLAGS, ..Said::made(Vec::new()) }
    }

    fn client_data(&self) -> Vec<u8> {
        let challenge = URL_SAFE_NO_PAD.encode(self.challenge);
        let (kind, origin, more) = (self.kind, &self.origin, self.more);
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{more}}}"#).into_bytes()
    }

    fn authenticator_data(&self) -> Vec<u8> {
        let mut data = sha256(self.domain.as_bytes()).to_vec();
        data.push(self.flags);
        data.extend(self.count.to_be_bytes());
        if self.flags & 1 << 6 != 0 {
            data.extend([0xaa; 16]);
            data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
            data.extend(&self.id);
            data.extend(&self.key);
        }
        data.extend(&self.tail);
        data
    }

    fn new_credential(&self) -> NewCredential {
        let data = self.authenticator_data();
        let text = |text: &str| [[0x60 | u8::try_from(text.len()).unwrap()].as_slice(), text.as_bytes()].concat();
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        let attestation = [
            [0xa3].as_slice(),
            &text("fmt"),
            &text(self.format),
            &text("attStmt"),
            &self.statement,
            &text("authData"),
            &[0x59],
            &length,
            &data,
        ]
        .concat();
        let id = self.claimed_id.clone();
        NewCredential { id, client_data: self.client_data(), attestation, transports: vec![] }
    }

    fn assertion(&self, sign: impl Fn(&[u8]) -> Vec<u8>) -> Assertion {
        let (client_data, authenticator_data) = (self.client_data(), self.authenticator_data());
        let signature = sign(&[authenticator_data.as_slice(), &sha256(&client_data)].concat());
        Assertion { id: self.claimed_id.clone(), client_data, authenticator_data, signature, user_handle: None }
    }
}

fn made(answer: &NewCredential) -> Result<Registered, Bad> {
    register(answer, &Expected { party: &party(), challenge: &CHALLENGE })
}

fn signed(answer: &Assertion, key: &[u8]) -> Result<Seen, Bad> {
    assert_answer(answer, key, &Expected { party: &party(), challenge: &CHALLENGE })
}

#[test]
fn a_good_answer_of_each_kind_of_key_is_taken() {
    let (random, key) = (SystemRandom::new(), es256());
    let (ed, cose) = (Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap(), cose_es256(&key));
    for encoded in [cose.clone(), cose_ed25519(&ed)] {
        let credential = made(&Said::made(encoded.clone()).new_credential()).unwrap();
        let seen = Seen { sign_count: 0, backup_eligible: false, backed_up: false };
        let aaguid = Uuid::from_bytes([0xaa; 16]);
        assert_eq!(credential, Registered { id: ID.to_vec(), public_key: encoded, aaguid, seen });
    }
    let said = Said { flags: FLAGS | 0b0001_1000, count: 5, ..Said::signed() };
    let answer = said.assertion(|message| key.sign(&random, message).unwrap().as_ref().to_vec());
    let seen = Seen { sign_count: 5, backup_eligible: true, backed_up: true };
    assert_eq!(signed(&answer, &cose), Ok(seen));
    let answer = said.assertion(|message| ed.sign(message).as_ref().to_vec());
    assert_eq!(signed(&answer, &cose_ed25519(&ed)), Ok(seen));
    assert_eq!(signed(&answer, &cose), Err(Bad("the signature does not hold")), "another's key");
    // Extensions and members that nobody asked for are passed over, and so is a statement about who made the authenticator.
    let mut said = Said::made(cose);
    (said.flags, said.tail) = (said.flags | 1 << 7, vec![0xa1, 0x61, b'x', 0xf5]);
    (said.format, said.statement) = ("packed", vec![0xa1, 0x63, b'a', b'l', b'g', 0x26]);
    said.more = r#","other_keys_can_be_added_here":"do not compare","crossOrigin":false"#;
    assert!(made(&said.new_credential()).is_ok());
}

#[test]
fn each_spoiled_part_is_refused() {
    let (random, key) = (SystemRandom::new(), es256());
    let cose = cose_es256(&key);
    let spoil = |change: fn(&mut Said)| {
        let mut registered = Said::made(cose.clone());
        change(&mut registered);
        let mut asserted = Said::signed();
        change(&mut asserted);
        let asserted = asserted.assertion(|message| key.sign(&random, message).unwrap().as_ref().to_vec());
        (made(&registered.new_credential()).map(|_| ()), signed(&asserted, &cose).map(|_| ()))
    };
    assert_eq!(spoil(|_| {}), (Ok(()), Ok(())), "the known-good control");
    for (told, change) in [
        ("client data: another challenge", (|said| said.challenge = [8; 32]) as fn(&mut Said)),
        ("client data: another origin", |said| said.origin = "https://example.org".into()),
        ("client data: another origin", |said| said.origin = "https://app.example.org.evil.net".into()),
        ("client data: another origin", |said| said.origin = "http://app.example.org".into()),
        ("client data: another origin", |said| said.origin = "https://app.example.org:8443".into()),
        ("client data: another origin", |said| said.origin = String::new()),
        ("client data: within another site's page", |said| said.more = r#","crossOrigin":true"#),
        ("client data: within another site's page", |said| said.more = r#","topOrigin":"https://evil.net""#),
        ("client data: malformed", |said| said.more = r#","origin":"https://app.example.org""#),
        ("client data: malformed", |said| said.more = r#","crossOrigin":"no""#),
        ("client data: malformed", |said| said.more = "}{"),
        ("authenticator data: for another domain", |said| said.domain = "app.example.org"),
        ("authenticator data: for another domain", |said| said.domain = "evil.net"),
        ("authenticator data: nobody was there", |said| said.flags &= !1),
        ("authenticator data: the user was not verified", |said| said.flags &= !(1 << 2)),
        ("authenticator data: a copy of what has no copies", |said| said.flags |= 1 << 4),
        ("authenticator data: more or less than it says", |said| said.tail = vec![0]),
        ("authenticator data: more or less than it says", |said| said.flags |= 1 << 7),
        ("authenticator data: more or less than it says", |said| {
            said.flags |= 1 << 7;
            said.tail = vec![0xa0, 0xa0];
        }),
    ] {
        assert_eq!(spoil(change), (Err(Bad(told)), Err(Bad(told))));
    }
    let other = spoil(|said| said.kind = "payment.get");
    assert_eq!(other, (Err(Bad("client data: of another ceremony")), Err(Bad("client data: of another ceremony"))));
    // An answer to a registration signs nobody in, and the other way round.
    assert!(made(&Said { kind: "webauthn.get", ..Said::made(cose.clone()) }.new_credential()).is_err());
    let confused = Said { kind: "webauthn.create", ..Said::signed() };
    let confused = confused.assertion(|message| key.sign(&random, message).unwrap().as_ref().to_vec());
    assert_eq!(signed(&confused, &cose), Err(Bad("client data: of another ceremony")));
}

#[test]
fn what_is_spoiled_in_a_new_credential_is_refused() {
    let cose = cose_es256(&es256());
    let check = |told: &'static str, change: &dyn Fn(&mut Said)| {
        let mut said = Said::made(cose.clone());
        change(&mut said);
        assert_eq!(made(&said.new_credential()).map(|_| ()), Err(Bad(told)));
    };
    check("authenticator data: without a credential", &|said| said.flags = FLAGS);
    let not_its = "authenticator data: an id that is not the credential's";
    check(not_its, &|said| said.claimed_id = vec![1; 16]);
    check(not_its, &|said| (said.id, said.claimed_id) = (vec![1; 15], vec![1; 15]));
    check(not_its, &|said| (said.id, said.claimed_id) = (vec![1; 1_024], vec![1; 1_024]));
    check("attestation: a statement that is none", &|said| said.statement = vec![0xa1, 0x61, b'x', 1]);
    check("attestation: a statement that is none", &|said| said.statement = vec![0x80]);
    check("authenticator data: a key that cannot be read", &|said| said.key.truncate(40));
    let unasked = "authenticator data: a key that was not asked for";
    for (at, octet) in [(2, 1), (4, 0x27), (6, 6)] {
        check(unasked, &|said| said.key[at] = octet);
    }
    check(unasked, &|said| said.key = vec![0xa0]);
    check(unasked, &|said| said.key = vec![0]);
    // Cut anywhere, it is nothing; and no octet changed makes it fall.
    let good = Said::made(cose.clone()).new_credential();
    for length in 0..good.attestation.len() {
        let cut = NewCredential { attestation: good.attestation[..length].to_vec(), ..good.clone() };
        assert!(made(&cut).is_err(), "{length}");
        let mut changed = good.clone();
        changed.attestation[length] ^= 0xff;
        let _ = made(&changed);
    }
    for client_data in ["", "null", "[]", "{", r#"{"type":"webauthn.create"}"#] {
        let answer = NewCredential { client_data: client_data.into(), ..good.clone() };
        assert_eq!(made(&answer).map(|_| ()), Err(Bad("client data: malformed")));
    }
    let nested = NewCredential { client_data: vec![b'['; 40_000], ..good.clone() };
    assert_eq!(made(&nested).map(|_| ()), Err(Bad("client data: too long")));
    let long = NewCredential { attestation: vec![0xa0; 40_000], ..good };
    assert_eq!(made(&long).map(|_| ()), Err(Bad("attestation: too long")));
}

#[test]
fn what_is_spoiled_in_a_signature_is_refused() {
    let (random, key) = (SystemRandom::new(), es256());
    let cose = cose_es256(&key);
    let good = Said::signed().assertion(|message| key.sign(&random, message).unwrap().as_ref().to_vec());
    let holds = |answer: &Assertion| signed(answer, &cose).is_ok();
    assert!(holds(&good), "the known-good control");
    for at in 0..good.signature.len() {
        let mut changed = good.clone();
        changed.signature[at] ^= 1;
        assert!(!holds(&changed), "{at}");
    }
    for at in 0..good.authenticator_data.len() {
        let mut changed = good.clone();
        changed.authenticator_data[at] ^= 1;
        assert!(!holds(&changed), "{at}");
        let cut = Assertion { authenticator_data: good.authenticator_data[..at].to_vec(), ..good.clone() };
        assert!(!holds(&cut), "{at}");
    }
    // A space more is another text, though it says the same.
    let padded = Assertion { client_data: [good.client_data.as_slice(), b" "].concat(), ..good.clone() };
    assert!(!holds(&padded));
    assert!(!holds(&Assertion { signature: Vec::new(), ..good.clone() }));
    // A signature is in ASN.1, as authenticators write it; two numbers side by side are none.
    assert!(!holds(&Assertion { signature: vec![1; 64], ..good.clone() }));
    // A credential's data does not hide in an answer to a challenge.
    let said = Said { flags: FLAGS | 1 << 6, key: cose.clone(), ..Said::signed() };
    let answer = said.assertion(|message| key.sign(&random, message).unwrap().as_ref().to_vec());
    assert_eq!(signed(&answer, &cose), Err(Bad("authenticator data: a credential where none was made")));
    assert_eq!(signed(&good, &[0xa0]), Err(Bad("the stored key cannot be read")));
}

#[test]
fn keys_are_of_the_algorithms_that_were_asked_for() {
    let rsa = |n: usize, e: &[u8]| {
        let length = u16::try_from(n).unwrap().to_be_bytes();
        let modulus = vec![0xff; n];
        [[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59].as_slice(), &length, &modulus, &[0x21, 0x40 | e.len() as u8], e]
            .concat()
    };
    assert!(matches!(PublicKey::read(&rsa(256, &[1, 0, 1])), Some(PublicKey::Rsa { .. })));
    assert_eq!(PublicKey::read(&rsa(128, &[1, 0, 1])), None, "1,024 bits");
    assert_eq!(PublicKey::read(&rsa(1_025, &[1, 0, 1])), None);
    assert_eq!(PublicKey::read(&rsa(256, &[])), None);
    assert_eq!(PublicKey::read(&rsa(256, &[1; 9])), None);
    for encoded in [&[][..], &[0xa0], &[0x80], &[0xa2, 1, 2, 3, 0x26], &[0xa3, 1, 2, 3, 0x26, 0x20, 1]] {
        assert_eq!(PublicKey::read(encoded), None);
    }
}

#[test]
fn a_challenge_is_of_one_ceremony_account_and_session() {
    let key = PasskeyKey::new(&Keys::generate().unwrap()).unwrap();
    let [one, two, three] = [1u128, 2, 3].map(Uuid::from_u128);
    let asked = |id, purpose| key.challenge(id, purpose);
    let mut all = vec![
        asked(one, Purpose::SignIn),
        asked(two, Purpose::SignIn),
        asked(one, Purpose::Register { user: two, session: three }),
        asked(one, Purpose::Register { user: three, session: two }),
        asked(one, Purpose::Register { user: two, session: two }),
        asked(one, Purpose::Register { user: Uuid::nil(), session: Uuid::nil() }),
        asked(one, Purpose::Factor { user: two, session: three, factor: one }),
        asked(one, Purpose::Factor { user: two, session: three, factor: two }),
        asked(one, Purpose::Factor { user: two, session: three, factor: Uuid::nil() }),
        PasskeyKey::new(&Keys::generate().unwrap()).unwrap().challenge(one, Purpose::SignIn),
    ];
    assert_eq!(asked(one, Purpose::SignIn), all[0], "the same again");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 10);
}

#[test]
fn a_challenge_is_as_old_as_its_id() {
    let at = |millis| uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid();
    let young = |id: Uuid, now: i64| demand_young(id, now).is_ok();
    assert!(young(at(1_000), 1_000_000) && young(at(1_000), 1_000_000 + CHALLENGE_MICROS - 1));
    assert!(!young(at(1_000), 1_000_000 + CHALLENGE_MICROS));
    assert!(!young(Uuid::nil(), 0) && !young(Uuid::from_u128(u128::MAX), 0), "no UUID v7");
    let _ = young(at((1 << 48) - 1), i64::MAX);
}
