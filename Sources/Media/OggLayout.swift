import Foundation

/// Ogg: Vorbis, Opus or FLAC streams, chained or multiplexed with video, with missing or broken pages.
///
/// Each stream of a chain is a part, and so is the sound after damage, with the stream's headers before it.
///
/// Source: RFC 3533 (Ogg), RFC 7845 (Opus), the Vorbis I specification, A.
extension SourceBytes {
    /// Nil for other files, and if a stream has another codec.
    var oggLayout: SoundLayout? {
        guard text(at: 0, count: 4) == "OggS" else { return nil }
        return bytes.withUnsafeBytes { buffer in
            let scan = OggScan(buffer.bindMemory(to: UInt8.self))
            let streams = scan.streams()
            guard streams.contains(where: { !$0.runs.isEmpty }), streams.allSatisfy({ $0.headerPackets > 0 }) else {
                return nil
            }
            return scan.layout(streams) { ranges in
                SplicedBytes(
                    ranges.map { bytes[bytes.startIndex + $0.lowerBound..<bytes.startIndex + $0.upperBound] })
            }
        }
    }
}

private struct OggPage {
    let range: Range<Int>
    /// End of the last packet that ends on this page, in samples; -1: no packet ends here.
    let granule: Int
    let serial, number: Int
    let isFirst, isLast: Bool
    /// Number of packets that end on it.
    let packets: Int
    /// Whether it is complete and its checksum is right.
    let isWhole: Bool
}

/// One audio stream.
private struct OggStream {
    let serial: Int
    /// Clock of the granule positions, in hertz.
    let rate: Int
    let channels: Int
    /// 0 for codecs that libsndfile does not decode.
    let headerPackets: Int
    var headers: [Range<Int>] = []
    var packetsSeen = 0
    /// Runs of consecutive pages, and the granule position at the end of each.
    var runs: [(pages: [Range<Int>], end: Int)] = []
    var lastNumber: Int?
    /// End of the page that the end of the file cuts.
    var cutEnd: Int?
    var hasEnd = false
}

private struct OggScan {
    private let bytes: UnsafeBufferPointer<UInt8>

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    func streams() -> [OggStream] {
        var streams: [OggStream] = []
        var place = 0
        var isStray = false
        while place < bytes.count {
            guard let page = page(at: place), page.isWhole || page.range.upperBound > bytes.count else {
                isStray = true
                place = next(after: place)
                continue
            }
            place = page.range.upperBound
            if page.isFirst {
                let stream = stream(page)
                // Of multiplexed streams the first audio stream is used.
                let isBeside = streams.last.map { $0.runs.isEmpty && $0.packetsSeen <= 1 } ?? false
                if isBeside, let last = streams.last, last.headerPackets > 0 || stream.headerPackets == 0 {
                } else if isBeside {
                    streams[streams.count - 1] = stream
                } else {
                    streams.append(stream)
                }
            }
            if let last = streams.indices.last, streams[last].serial == page.serial {
                streams[last].add(page, isStray: isStray)
                isStray = false
            }
        }
        return streams
    }

    private func next(after place: Int) -> Int {
        var start = place + 1
        while start < bytes.count, let found = memchr(bytes.baseAddress! + start, 0x4F, bytes.count - start) {
            start = bytes.baseAddress!.distance(to: found.assumingMemoryBound(to: UInt8.self))
            if hasCapture(start) { return start }
            start += 1
        }
        return bytes.count
    }

    private func hasCapture(_ place: Int) -> Bool {
        place + 27 <= bytes.count && memcmp(bytes.baseAddress! + place, "OggS\0", 5) == 0
    }

    private func number(_ place: Int, _ count: Int) -> Int {
        (0..<count).reversed().reduce(0) { $0 << 8 | Int(bytes[place + $1]) }
    }

    private func page(at place: Int) -> OggPage? {
        guard hasCapture(place) else { return nil }
        let segments = Int(bytes[place + 26])
        guard place + 27 + segments <= bytes.count else { return nil }
        let lacing = bytes[place + 27..<place + 27 + segments]
        let end = place + 27 + segments + lacing.reduce(0) { $0 + Int($1) }
        let flags = bytes[place + 5]
        return OggPage(
            range: place..<end, granule: number(place + 6, 8), serial: number(place + 14, 4),
            number: number(place + 18, 4), isFirst: flags & 2 != 0, isLast: flags & 4 != 0,
            packets: lacing.count { $0 < 255 },
            isWhole: end <= bytes.count && checksum(place..<end) == number(place + 22, 4))
    }

    /// CRC-32 with the polynomial 0x04C11DB7, most significant bit first; the checksum field itself counts as 0.
    private func checksum(_ range: Range<Int>) -> Int {
        var crc: UInt32 = 0
        for place in range {
            let byte = (22..<26).contains(place - range.lowerBound) ? 0 : bytes[place]
            crc = crc << 8 ^ Self.table[Int(UInt8(truncatingIfNeeded: crc >> 24) ^ byte)]
        }
        return Int(crc)
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index) << 24) { crc, _ in crc >> 31 == 1 ? crc << 1 ^ 0x04C1_1DB7 : crc << 1 }
    }

    /// Parses the first packet of a stream.
    private func stream(_ page: OggPage) -> OggStream {
        let start = page.range.lowerBound + 27 + Int(bytes[page.range.lowerBound + 26])
        func has(_ magic: [UInt8]) -> Bool {
            start + 16 <= page.range.upperBound && bytes[start..<start + magic.count].elementsEqual(magic)
        }
        if has([1] + Array("vorbis".utf8)) {
            return OggStream(
                serial: page.serial, rate: number(start + 12, 4), channels: Int(bytes[start + 11]), headerPackets: 3)
        }
        if has(Array("OpusHead".utf8)) {
            return OggStream(serial: page.serial, rate: 48_000, channels: Int(bytes[start + 9]), headerPackets: 2)
        }
        return OggStream(serial: page.serial, rate: 1, channels: 0, headerPackets: 0)
    }

    func layout(_ streams: [OggStream], _ bytes: ([Range<Int>]) -> SplicedBytes) -> SoundLayout {
        var layout = SoundLayout(parts: [])
        for stream in streams {
            for (index, run) in stream.runs.enumerated() {
                layout.parts.append(
                    .init(
                        decoder: .libsndfile, bytes: bytes(joined(stream.headers + run.pages)),
                        end: (run.end, stream.rate, index > 0), channels: stream.channels))
            }
        }
        guard let last = streams.last else { return layout }
        if let cut = last.cutEnd, let end = last.runs.last?.end, cut > end {
            layout.lostAtEnd = Double(cut - end) / Double(last.rate)
        }
        layout.isCut = !last.hasEnd
        return layout
    }

    /// Merges adjoining ranges.
    private func joined(_ ranges: [Range<Int>]) -> [Range<Int>] {
        ranges.reduce(into: []) { joined, range in
            if let last = joined.last, last.upperBound == range.lowerBound {
                joined[joined.count - 1] = last.lowerBound..<range.upperBound
            } else {
                joined.append(range)
            }
        }
    }
}

extension OggStream {
    fileprivate mutating func add(_ page: OggPage, isStray: Bool) {
        guard page.isWhole else {
            cutEnd = page.granule
            return
        }
        hasEnd = hasEnd || page.isLast
        if packetsSeen < headerPackets {
            headers.append(page.range)
        } else {
            let follows = lastNumber.map { page.number == $0 + 1 } ?? true
            if runs.isEmpty || isStray || !follows { runs.append(([], runs.last?.end ?? 0)) }
            runs[runs.count - 1].pages.append(page.range)
            if page.granule >= 0 { runs[runs.count - 1].end = page.granule }
        }
        packetsSeen += page.packets
        lastNumber = page.number
    }
}
