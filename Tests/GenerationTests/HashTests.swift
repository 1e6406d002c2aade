import Testing

@testable import Generation

struct HashTests {
    /// Values of the Python package xxhash 3.6 (`xxh64_intdigest`), with seed 0 and seed 0x9E3779B97F4A7C15.
    @Test(
        arguments: [
            (0, 0xef46_db37_51d8_e999, 0xc434_9fc9_3c01_0000), (1, 0xf592_c0c7_639c_4cb6, 0x3f7e_bbd0_a20f_83cc),
            (3, 0x22c0_8528_601d_4f27, 0xb829_b5fb_ba7f_12fb), (4, 0xfb1e_5cf2_f1ae_4d95, 0x4d32_e4c8_42c6_371e),
            (8, 0x57cb_2b75_21f3_e21a, 0x696e_1fe0_e0df_37f4), (31, 0xe4a0_e629_e519_a4ae, 0xa348_b910_bc65_b7bd),
            (32, 0xcc6b_8aaa_da79_0b2d, 0x41c2_eada_450d_18f0), (33, 0x35ec_4985_0475_a832, 0xb6f8_c0b7_6af8_f9da),
            (100, 0x4826_e367_566e_a023, 0xe384_91a6_daeb_0e8a),
        ] as [(Int, UInt64, UInt64)])
    func equalsXXHash(count: Int, plain: UInt64, seeded: UInt64) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 37 + 11) }
        #expect(bytes.withUnsafeBytes { XXH64.hash($0) } == plain)
        #expect(bytes.withUnsafeBytes { XXH64.hash($0, seed: 0x9E37_79B9_7F4A_7C15) } == seeded)
    }

    /// SHA-256 of "image 3 2\n" and six floats, as Python's hashlib has it: the same in every process.
    @Test func aMediumIsKnownInEveryProcess() {
        let hash = ContentHash(kind: "image", dimensions: [3, 2], [0, 0.5, -1, 2, 1e-3, 7])
        #expect(hash.hex == "fbe8cd091b91ccf4904f3217c15440a7027d481faddf32edb9bd5e3c1e34dbe5")
        #expect(ContentHash(hex: hash.hex) == hash)
        #expect(hash != ContentHash(kind: "image", dimensions: [2, 3], [0, 0.5, -1, 2, 1e-3, 7]))
        for text in ["", "fbe8", String(repeating: "g", count: 64), hash.hex.uppercased(), hash.hex + "0"] {
            #expect(ContentHash(hex: text) == nil)
        }
    }
}
