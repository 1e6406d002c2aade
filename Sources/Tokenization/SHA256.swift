/// SHA-256, which identifies files: prints the same as `sha256sum`.
///
/// Source: FIPS 180-4, 6.2.
package struct SHA256 {
    private var state = SHA256.start
    /// Fewer than 64 bytes of an incomplete block.
    private var block: [UInt8] = []
    private var byteCount: UInt64 = 0

    package init() {}

    /// - Returns: 64 hexadecimal digits.
    package static func hex(_ bytes: some Collection<UInt8>) -> String {
        var hash = SHA256()
        hash.update(bytes)
        return hash.hex()
    }

    package mutating func update(_ bytes: some Collection<UInt8>) {
        let isContiguous: Void? = bytes.withContiguousStorageIfAvailable { update(UnsafeRawBufferPointer($0)) }
        if isContiguous == nil { Array(bytes).withUnsafeBytes { update($0) } }
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        byteCount += UInt64(bytes.count)
        var rest = bytes[...]
        if !block.isEmpty {
            let missing = rest.prefix(64 - block.count)
            block += missing
            rest = rest.dropFirst(missing.count)
            guard block.count == 64 else { return }
            let whole = block
            block = []
            whole.withUnsafeBytes { compress($0) }
        }
        let whole = rest.prefix(rest.count / 64 * 64)
        compress(UnsafeRawBufferPointer(rebasing: whole))
        block += rest.dropFirst(whole.count)
    }

    /// - Returns: 64 hexadecimal digits. Nothing can be added afterwards.
    package consuming func hex() -> String {
        digest().map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }.joined()
    }

    /// - Returns: eight words, most significant first. Nothing can be added afterwards.
    package consuming func digest() -> [UInt32] {
        let bitCount = byteCount * 8
        let padding = (byteCount % 64 < 56 ? 56 : 120) - Int(byteCount % 64)
        update([0x80] + Array(repeating: 0, count: padding - 1))
        update((0..<8).reversed().map { UInt8(truncatingIfNeeded: bitCount >> (8 * $0)) })
        return state
    }

    /// Hashes whole blocks of 64 bytes.
    private mutating func compress(_ blocks: UnsafeRawBufferPointer) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { words in
            SHA256.steps.withUnsafeBufferPointer { steps in
                for start in stride(from: 0, to: blocks.count, by: 64) {
                    for place in 0..<16 {
                        let word = blocks.loadUnaligned(fromByteOffset: start + 4 * place, as: UInt32.self)
                        words[place] = UInt32(bigEndian: word)
                    }
                    for place in 16..<64 {
                        let (early, late) = (words[place - 15], words[place - 2])
                        words[place] =
                            words[place - 16] &+ words[place - 7]
                            &+ (Self.rotated(early, 7) ^ Self.rotated(early, 18) ^ early >> 3)
                            &+ (Self.rotated(late, 17) ^ Self.rotated(late, 19) ^ late >> 10)
                    }
                    var (a, b, c, d) = (state[0], state[1], state[2], state[3])
                    var (e, f, g, h) = (state[4], state[5], state[6], state[7])
                    for place in 0..<64 {
                        let first =
                            h &+ (Self.rotated(e, 6) ^ Self.rotated(e, 11) ^ Self.rotated(e, 25)) &+ (e & f ^ ~e & g)
                            &+ steps[place] &+ words[place]
                        let second =
                            (Self.rotated(a, 2) ^ Self.rotated(a, 13) ^ Self.rotated(a, 22))
                            &+ (a & b ^ a & c ^ b & c)
                        (h, g, f, e) = (g, f, e, d &+ first)
                        (d, c, b, a) = (c, b, a, first &+ second)
                    }
                    for (place, word) in [a, b, c, d, e, f, g, h].enumerated() { state[place] &+= word }
                }
            }
        }
    }

    private static func rotated(_ word: UInt32, _ places: UInt32) -> UInt32 {
        word >> places | word << (32 - places)
    }

    /// Fractional parts of the square roots of the first 8 primes.
    private static let start: [UInt32] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]

    /// Fractional parts of the cube roots of the first 64 primes.
    private static let steps: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ]
}
