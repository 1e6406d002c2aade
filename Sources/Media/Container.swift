import Foundation

/// Containers of PCM samples whose headers state the length of the data, possibly wrong: a recorder that crashed leaves
/// 0, a program that writes to a pipe leaves 0 or nearly 2³¹ or 2³², and beyond 4 GiB a 32-bit length wraps around. The
/// data then extends to the end of the file. A file that ends before its announced length is truncated.
///
/// Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF); EBU Tech 3306
/// (RF64); Apple, AIFF-C; NeXT and Sun, `.au`.
extension SourceBytes {
    /// WAV and RF64; nil for other formats.
    var waveLayout: SoundLayout? {
        guard ["RIFF", "RF64"].contains(text(at: 0, count: 4)), text(at: 8, count: 4) == "WAVE",
            let data = chunk("data", .little)
        else { return nil }
        var announced = data.size
        if announced == 0xFFFF_FFFF, let sizes = chunk("ds64", .little), sizes.size >= 24 {
            announced = integer(at: sizes.body + 8, .little, bytes: 8) ?? announced
        }
        return layout(data.body, announced, .little) { size in
            let chunks = bytes[bytes.startIndex + 12..<bytes.startIndex + data.body - 8]
            func field(_ value: Int, _ count: Int) -> Data { Data((0..<count).map { UInt8(value >> (8 * $0) & 0xFF) }) }
            let open = field(0xFFFF_FFFF, 4)
            let sizes =
                Data("ds64".utf8) + field(28, 4) + field(size + data.body, 8) + field(size, 8) + field(0, 8)
                + field(0, 4)
            return Data("RF64".utf8) + open + Data("WAVE".utf8) + sizes + chunks + Data("data".utf8) + open
        }
    }

    /// The format tag (codec) of a WAV file.
    var waveFormatTag: Int? { chunk("fmt ", .little).flatMap { integer(at: $0.body, .little, bytes: 2) } }

    /// AIFF and AIFF-C; nil for other formats.
    var aiffLayout: SoundLayout? {
        guard text(at: 0, count: 4) == "FORM", ["AIFF", "AIFC"].contains(text(at: 8, count: 4)),
            let sound = chunk("SSND", .big), let common = chunk("COMM", .big), common.body < sound.body,
            let channels = integer(at: common.body, .big, bytes: 2),
            let bits = integer(at: common.body + 6, .big, bytes: 2)
        else { return nil }
        // An offset and a block size, 4 bytes each, precede the samples.
        return layout(sound.body + 8, max(0, sound.size - 8), .big) { size in
            var header = Data(bytes.prefix(sound.body + 8))
            let frames = size / max(1, channels * ((bits + 7) / 8))
            for (place, value) in [(4, size + sound.body), (common.body + 2, frames), (sound.body - 4, size + 8)] {
                for index in 0..<4 { header[place + index] = UInt8(min(value, 0xFFFF_FFFF) >> (24 - 8 * index) & 0xFF) }
            }
            return header
        }
    }

    /// `.au`; nil for other formats.
    var auLayout: SoundLayout? {
        guard text(at: 0, count: 4) == ".snd", let start = integer(at: 4, .big), start >= 24, start < bytes.count,
            let announced = integer(at: 8, .big)
        else { return nil }
        return layout(start, announced, .big) { _ in
            var header = Data(bytes.prefix(start))
            header.replaceSubrange(8..<12, with: [0xFF, 0xFF, 0xFF, 0xFF])  // to the end of the file
            return header
        }
    }

    /// - Parameters:
    ///   - start: offset of the samples.
    ///   - header: makes the header for data of this many bytes.
    private func layout(_ start: Int, _ announced: Int, _ order: ByteOrder, _ header: (Int) -> Data) -> SoundLayout {
        var layout = SoundLayout(self)
        let left = bytes.count - start
        if Self.leavesOpen(announced) {
            if left > 1 << 31 { layout.parts = [.init(decoder: .libsndfile, bytes: spliced(header(left), start))] }
        } else if announced > left {
            layout.parts[0].missingShare = Double(announced - left) / Double(max(1, left))
        } else if !isEnd(start + announced, order) {
            layout.parts = [.init(decoder: .libsndfile, bytes: spliced(header(left), start))]
            layout.notices = [
                MediaNotice(
                    "the header announces \(announced) bytes of sound, and \(left) are there: all are heard")
            ]
        }
        return layout
    }

    private func spliced(_ header: Data, _ start: Int) -> SplicedBytes {
        SplicedBytes([header, bytes[(bytes.startIndex + start)...]])
    }

    /// Lengths that streaming writers leave in the header: 0x7F000000 (sox), others nearly 2³¹ or 2³².
    private static func leavesOpen(_ size: Int) -> Bool {
        (0x7F00_0000...0x8000_0000).contains(size) || (0xFF00_0000...0xFFFF_FFFF).contains(size)
    }

    /// Whether the data may end at `place`: at the end of the file, before other chunks that reach it, or before a tag
    /// or padding.
    private func isEnd(_ place: Int, _ order: ByteOrder) -> Bool {
        let left = bytes.count - place
        if left < Self.shortestRest || ["TAG", "ID3"].contains(text(at: place, count: 3)) { return true }
        // The length has wrapped around: a chunk found there is sound that looks like one by chance.
        if left >= 1 << 32 - 16 { return false }
        return [place, place + 1].contains { isChunks(from: $0, order) }
    }

    /// A remainder shorter than this is ignored.
    private static let shortestRest = 1_024

    private func isChunks(from first: Int, _ order: ByteOrder) -> Bool {
        var place = first
        while bytes.count - place >= 8 {
            let id = bytes.dropFirst(place).prefix(4)
            guard id.allSatisfy({ (0x20..<0x7F).contains($0) }), let size = integer(at: place + 4, order),
                size <= bytes.count - place - 8
            else { return place > first && bytes.count - place < Self.shortestRest }
            place += 8 + size + size % 2
        }
        return true
    }

    // MARK: Bytes

    enum ByteOrder { case little, big }

    /// The first chunk of this name. Its length may be wrong.
    private func chunk(_ name: String, _ order: ByteOrder) -> (body: Int, size: Int)? {
        var place = 12
        while let id = text(at: place, count: 4), let size = integer(at: place + 4, order) {
            if id == name { return (place + 8, size) }
            place += 8 + size + size % 2
        }
        return nil
    }

    func text(at place: Int, count: Int) -> String? {
        guard place >= 0, place + count <= bytes.count else { return nil }
        return String(decoding: bytes.dropFirst(place).prefix(count), as: Unicode.ASCII.self)
    }

    /// Nil if too few bytes are left, and for values of 2⁶³ and more.
    func integer(at place: Int, _ order: ByteOrder, bytes count: Int = 4) -> Int? {
        guard place >= 0, place + count <= bytes.count else { return nil }
        let digits = bytes.dropFirst(place).prefix(count)
        let value = (order == .big ? Array(digits) : digits.reversed()).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Int(exactly: value)
    }
}
