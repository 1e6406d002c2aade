import Foundation

/// The output of `Tests/Goldens/make_media_goldens.py`.
package enum MediaGoldens {
    package static let folder = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Goldens/media")

    package static func load<Answer: Decodable>(_ name: String, as: Answer.Type = Answer.self) throws -> Answer {
        try JSONDecoder().decode(Answer.self, from: Data(contentsOf: folder.appending(path: "\(name).json")))
    }

    /// The generator's `noise`: bytes that look random and are the same in both languages.
    package static func noise(_ count: Int, seed: Int) -> [UInt8] {
        (0..<count).map { index in
            var x = UInt32(truncatingIfNeeded: index + seed * 7919) &* 0x9E37_79B1
            x = (x ^ x >> 15) &* 0x85EB_CA77
            x = (x ^ x >> 13) &* 0xC2B2_AE3D
            return UInt8((x ^ x >> 16) >> 24)
        }
    }

    /// CRC-32 as zlib's.
    package static func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
        ~bytes.reduce(~0) { crc, byte in crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8 }
    }

    private static let crcTable: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(byte) { crc, _ in crc & 1 == 1 ? 0xEDB8_8320 ^ crc >> 1 : crc >> 1 }
    }
}
