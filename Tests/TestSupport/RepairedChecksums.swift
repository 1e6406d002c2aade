extension [UInt8] {
    /// Recomputes the checksums of PNG chunks, so that a changed byte reaches the code after the check.
    package var withPNGChecksums: [UInt8] {
        guard starts(with: [0x89, 0x50, 0x4E, 0x47]) else { return self }
        var png = self
        var start = 8
        while start + 12 <= png.count {
            let length = png[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
            guard start + 12 + length <= png.count else { break }
            let crc = MediaGoldens.crc32(png[start + 4..<start + 8 + length])
            for index in 0..<4 { png[start + 8 + length + index] = UInt8(truncatingIfNeeded: crc >> (24 - 8 * index)) }
            start += 12 + length
        }
        return png
    }

    /// Recomputes the checksums of Ogg pages, whose CRC begins with the most significant bit.
    package var withOggChecksums: [UInt8] {
        var ogg = self
        var start = 0
        while start + 27 <= ogg.count, ogg[start..<start + 4].elementsEqual("OggS".utf8) {
            let segments = start + 27 + Int(ogg[start + 26])
            guard segments <= ogg.count else { break }
            let end = segments + ogg[start + 27..<segments].reduce(0) { $0 + Int($1) }
            guard end <= ogg.count else { break }
            for index in start + 22..<start + 26 { ogg[index] = 0 }
            var crc: UInt32 = 0
            for byte in ogg[start..<end] {
                crc ^= UInt32(byte) << 24
                for _ in 0..<8 { crc = crc >> 31 == 1 ? crc << 1 ^ 0x04C1_1DB7 : crc << 1 }
            }
            for index in 0..<4 { ogg[start + 22 + index] = UInt8(truncatingIfNeeded: crc >> (8 * index)) }
            start = end
        }
        return ogg
    }
}
