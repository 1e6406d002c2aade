import Foundation

/// The 4-byte header of an MPEG audio frame.
///
/// Source: ISO/IEC 11172-3, 2.4.1.3, and 13818-3.
struct MPEGFrameHeader: Equatable {
    let sampleRate: Int
    let channels: Int
    /// Length of the frame, in bytes.
    let length: Int
    /// Samples of the frame, per channel.
    let samples: Int
    fileprivate let layer: Int
    fileprivate let isMPEG1: Bool
    /// A 2-byte CRC after the header.
    fileprivate let hasChecksum: Bool
    /// Size of the side information of layer III, in bytes. The encoder's announcement of the length (Xing) follows it.
    fileprivate let sideInformation: Int

    /// Nil for other bytes, and for the free format, whose headers do not state the frame length.
    init?(_ b0: UInt8, _ b1: UInt8, _ b2: UInt8, _ b3: UInt8) {
        let (version, layer) = (Int(b1 >> 3 & 3), 4 - Int(b1 >> 1 & 3))  // version 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
        let (bitrate, rate) = (Int(b2 >> 4), Int(b2 >> 2 & 3))
        guard b0 == 0xFF, b1 >= 0xE0, version != 1, layer < 4, (1..<15).contains(bitrate), rate < 3, b3 & 3 != 2
        else { return nil }
        let isFirst = version == 3
        (self.layer, isMPEG1, hasChecksum) = (layer, isFirst, b1 & 1 == 0)
        sampleRate = [44_100, 48_000, 32_000][rate] / (isFirst ? 1 : version == 2 ? 2 : 4)
        channels = b3 >> 6 == 3 ? 1 : 2
        let kilobits = (isFirst ? Self.bitrates[layer - 1] : Self.bitrates[layer == 1 ? 3 : 4])[bitrate - 1]
        samples = layer == 1 ? 384 : layer == 3 && !isFirst ? 576 : 1_152
        let padding = Int(b2 >> 1 & 1)
        length =
            layer == 1
            ? (12_000 * kilobits / sampleRate + padding) * 4 : samples / 8 * kilobits * 1_000 / sampleRate + padding
        sideInformation = isFirst ? (channels == 2 ? 32 : 17) : (channels == 2 ? 17 : 9)
    }

    /// In kbit/s: the layers of MPEG 1, then layer I and the other layers of MPEG 2.
    private static let bitrates = [
        [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ]

    /// Whether both frames can belong to one stream.
    fileprivate func continues(_ other: MPEGFrameHeader) -> Bool {
        sampleRate == other.sampleRate && samples == other.samples && channels == other.channels
    }
}

extension SourceBytes {
    /// MP3 and its older layers: each of several joined recordings is a part, and so is the sound after damage. Tags
    /// and padding are left out; other bytes between frames have replaced sound, of the duration that they would play.
    ///
    /// Nil if the first sound of the file is of another format.
    var mpegLayout: SoundLayout? {
        bytes.withUnsafeBytes { buffer in
            var scan = MPEGScan(buffer.bindMemory(to: UInt8.self))
            let recordings = scan.findsStart() ? scan.recordings() : []
            guard !recordings.isEmpty else {
                // libsndfile would pass it to libmpg123 too, which would write to the terminal.
                return scan.isLikeMPEG
                    ? SoundLayout(parts: [.init(decoder: .libmpg123, bytes: SplicedBytes([self.bytes]))]) : nil
            }
            return MPEGScan.layout(recordings) { range in
                SplicedBytes([bytes[bytes.startIndex + range.lowerBound..<bytes.startIndex + range.upperBound]])
            }
        }
    }
}

/// Scans a file frame by frame.
private struct MPEGScan {
    /// One of the recordings that are joined in a file.
    struct Recording {
        let header: MPEGFrameHeader
        /// Number of frames announced in the first frame; nil if not announced.
        let announced: Int?
        var frames = 0
        /// Runs of frames, and what precedes each: bytes that are not frames, and frames that cannot be decoded.
        var runs: [(range: Range<Int>, stray: Int, broken: Int)]
        /// Frames after the last run that cannot be decoded.
        var broken = 0
    }

    /// Maximum length of tags and padding before the first frame.
    private static let longestLeader = 1 << 20

    private let bytes: UnsafeBufferPointer<UInt8>
    private var place = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    /// Moves to the first frame; returns whether there is one, preceded by tags and padding only.
    mutating func findsStart() -> Bool {
        while let length = tagLength(at: place) { place += length }
        let end = min(bytes.count, place + Self.longestLeader)
        while place < end, bytes[place] == 0 { place += 1 }
        while let length = tagLength(at: place) { place += length }
        if isConfirmed(place) { return true }
        // A stream recorded from its middle begins inside a frame.
        guard place < bytes.count, SoundFormat.isUnknown(Data(bytes[place..<min(bytes.count, place + 4_096)])),
            let first = (place..<min(bytes.count, place + Self.longestFrame)).first(where: {
                isConfirmed($0, frames: 4)
            })
        else { return false }
        place = first
        return true
    }

    /// Maximum frame length for any bitrate, in bytes.
    private static let longestFrame = 2_881

    /// Whether a tag or a possible frame is followed by something that is not another sound format.
    var isLikeMPEG: Bool {
        guard place < bytes.count else { return place > 0 && tagLength(at: 0) != nil }
        return header(at: place) != nil
            || tagLength(at: 0) != nil
                && SoundFormat.isUnknown(Data(bytes[place..<min(bytes.count, place + 4_096)]))
    }

    mutating func recordings() -> [Recording] {
        var recordings: [Recording] = []
        var stray: Int? = 0
        var isNew = true
        while place < bytes.count {
            if let length = tagLength(at: place) {
                place += length
                isNew = true
            } else if let header = header(at: place), place + header.length <= bytes.count,
                continues(header, recordings.last, isStray: stray != nil)
            {
                let announced = announcedFrames(header)
                let follows = recordings.last.map { header.continues($0.header) } ?? false
                if isNew || announced != nil || !follows {
                    recordings.append(
                        Recording(header: header, announced: announced, runs: [(place..<place, 0, 0)]))
                } else if !isPossible(place, frames: stray == nil ? 0 : Self.framesBehindDamage) {
                    recordings[recordings.count - 1].broken += 1
                    stray = stray ?? 0
                    place += header.length
                    continue
                } else if let stray {
                    let broken = recordings[recordings.count - 1].broken
                    recordings[recordings.count - 1].broken = 0
                    recordings[recordings.count - 1].runs.append((place..<place, stray, broken))
                }
                // The frame with the announcement holds no sound.
                if announced == nil { recordings[recordings.count - 1].frames += 1 }
                place += header.length
                let last = recordings[recordings.count - 1].runs.count - 1
                recordings[recordings.count - 1].runs[last].range =
                    recordings[recordings.count - 1].runs[last].range.lowerBound..<place
                (stray, isNew) = (nil, false)
            } else {
                stray = (stray ?? 0) + 1
                place += 1
            }
        }
        return recordings
    }

    /// Whether the header at `place` begins a frame: the less it matches the recording so far, the more frames must
    /// follow it.
    private func continues(_ header: MPEGFrameHeader, _ recording: Recording?, isStray: Bool) -> Bool {
        guard let recording else { return isConfirmed(place) }
        let isLike = header.continues(recording.header)
        return isLike && !isStray || isConfirmed(place, frames: isLike ? 1 : 3)
    }

    private func header(at place: Int) -> MPEGFrameHeader? {
        guard place + 4 <= bytes.count, bytes[place] == 0xFF else { return nil }
        return MPEGFrameHeader(bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3])
    }

    /// Whether a frame begins at `place`: at least `frames` of its kind follow it, or fewer up to a tag or the end of
    /// the file.
    private func isConfirmed(_ place: Int, frames: Int = 1) -> Bool {
        guard let first = header(at: place) else { return false }
        var next = place + first.length
        for _ in 0..<frames {
            if next == bytes.count || tagLength(at: next) != nil { return true }
            guard let header = header(at: next), header.continues(first) else { return false }
            next += header.length
        }
        return true
    }

    /// Random bytes look like a mono frame in one of three cases, so this many frames must follow the end of damage.
    private static let framesBehindDamage = 8

    /// Whether the frame at `place` and the `frames` frames after it are of one kind and can be decoded.
    private func isPossible(_ place: Int, frames: Int) -> Bool {
        guard let first = header(at: place) else { return false }
        var next = place
        for _ in 0...frames {
            guard let header = header(at: next), header.continues(first), next + header.length <= bytes.count else {
                return false
            }
            guard hasPossibleSideInformation(header, at: next) else { return false }
            next += header.length
        }
        return true
    }

    /// Whether the side information of a layer III frame is plausible. The other layers have nothing to check.
    ///
    /// Source: ISO/IEC 11172-3, 2.4.1.7 and 2.4.2.7, and 13818-3, 2.4.1.7.
    private func hasPossibleSideInformation(_ header: MPEGFrameHeader, at place: Int) -> Bool {
        guard header.layer == 3 else { return true }
        let start = place + 4 + (header.hasChecksum ? 2 : 0)
        let end = place + header.length
        guard start + header.sideInformation <= end else { return false }
        var bit = 8 * start
        func number(_ count: Int) -> Int {
            defer { bit += count }
            return (bit..<bit + count).reduce(0) { $0 << 1 | Int(bytes[$1 / 8] >> (7 - $1 % 8) & 1) }
        }
        let (isMPEG1, channels) = (header.isMPEG1, header.channels)
        let mainDataBegin = number(isMPEG1 ? 9 : 8)
        // private_bits, scfsi
        bit += isMPEG1 ? (channels == 1 ? 5 + 4 : 3 + 8) : channels
        var mainDataBits = 0
        for _ in 0..<(isMPEG1 ? 2 : 1) * channels {
            mainDataBits += number(12)  // part2_3_length
            guard number(9) <= 288 else { return false }  // big_values: pairs of 576 lines
            bit += 8 + (isMPEG1 ? 4 : 9)  // global_gain, scalefac_compress
            let switchesWindow = number(1) == 1
            if switchesWindow, number(2) == 0 { return false }  // block_type: 0 is reserved here
            bit += switchesWindow ? 20 : 22
            bit += isMPEG1 ? 3 : 2  // preflag, scalefac_scale, count1table_select
        }
        return mainDataBits <= 8 * (mainDataBegin + end - start - header.sideInformation)
    }

    /// Length of an ID3, APE or Lyrics tag.
    ///
    /// Source: id3.org, "ID3 tag version 2.4.0", 3.1 and 3.4, and "Lyrics3 v2.00"; "APE Tags Header".
    private func tagLength(at place: Int) -> Int? {
        func has(_ text: StaticString) -> Bool {
            place + text.utf8CodeUnitCount <= bytes.count
                && memcmp(bytes.baseAddress! + place, text.utf8Start, text.utf8CodeUnitCount) == 0
        }
        if has("ID3"), place + 10 <= bytes.count, bytes[place + 3] < 0xFF {
            let digits = bytes[place + 6..<place + 10]
            guard digits.allSatisfy({ $0 < 0x80 }) else { return nil }
            let footer = bytes[place + 5] & 0x10 != 0 ? 10 : 0
            return min(bytes.count - place, 10 + digits.reduce(0) { $0 << 7 | Int($1) } + footer)
        }
        if has("TAG") { return min(bytes.count - place, 128) }
        if has("LYRICSBEGIN") {
            // Its length is written at its end: six digits, and nine letters.
            let rest = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[place...].prefix(1 << 20))
            for end in ["LYRICS200", "LYRICSEND"] {
                if let found = Data(rest).range(of: Data(end.utf8)) { return found.upperBound }
            }
        }
        if has("APETAGEX"), place + 32 <= bytes.count {
            let size = (0..<4).reduce(0) { $0 | Int(bytes[place + 12 + $1]) << (8 * $1) }
            // An APE tag has the same header as a footer, whose size counts the bytes before it.
            return bytes[place + 23] & 0x20 == 0 ? 32 : min(bytes.count - place, 32 + size)
        }
        return nil
    }

    /// Number of following frames that the frame at `place` announces; nil if it is a frame of sound.
    ///
    /// Source: LAME, `VbrTag.c`; Fraunhofer's VBRI header.
    private func announcedFrames(_ header: MPEGFrameHeader) -> Int? {
        func number(_ at: Int) -> Int { (0..<4).reduce(0) { $0 << 8 | Int(bytes[place + at + $1]) } }
        func has(_ text: StaticString, _ at: Int) -> Bool {
            memcmp(bytes.baseAddress! + place + at, text.utf8Start, text.utf8CodeUnitCount) == 0
        }
        let tag = 4 + header.sideInformation
        guard header.length >= max(tag + 12, 54) else { return nil }
        if has("Xing", tag) || has("Info", tag) { return number(tag + 4) & 1 == 1 ? number(tag + 8) : 0 }
        return has("VBRI", 36) ? number(50) : nil
    }

    // MARK: Missing frames

    static func layout(_ recordings: [Recording], _ bytes: (Range<Int>) -> SplicedBytes) -> SoundLayout {
        var layout = SoundLayout(parts: [])
        var lost = 0.0
        for recording in recordings {
            let frame = Double(recording.header.samples) / Double(recording.header.sampleRate)
            let (gaps, rest) = missingFrames(recording)
            for (run, gap) in zip(recording.runs, [0] + gaps) {
                lost += Double(gap + run.broken) * frame
                layout.parts.append(
                    .init(
                        decoder: .libmpg123, bytes: bytes(run.range), lostBefore: lost,
                        channels: recording.header.channels))
                lost = 0
            }
            lost = Double(rest + recording.broken) * frame
        }
        layout.lostAtEnd = lost
        return layout
    }

    /// Number of missing frames in each gap between runs, and after the last run, besides the broken ones that are
    /// present.
    ///
    /// Bytes in a gap have replaced as many frames as fit there, unless the announcement says fewer: the bytes may have
    /// been inserted between frames. At least one frame is broken in any case.
    private static func missingFrames(_ recording: Recording) -> (gaps: [Int], rest: Int) {
        let stray = recording.runs.dropFirst().map(\.stray)
        let length = max(1, recording.runs.reduce(0) { $0 + $1.range.count } / max(1, recording.frames))
        let guesses = stray.map { $0 == 0 ? 0 : max(1, $0 / length) }
        let guessed = guesses.reduce(0, +)
        // Some encoders count the frame of the announcement, or pad: a small difference is no loss.
        guard let announced = recording.announced, announced > 0 else { return (guesses, 0) }
        let broken = recording.runs.reduce(recording.broken) { $0 + $1.broken }
        let missing = announced - recording.frames - broken
        guard guessed > 0 else { return (guesses, missing > 2 ? missing : 0) }
        // If frames differ in length the guess is coarse.
        guard missing <= 2 * guessed + 2 else { return (guesses, missing - guessed) }
        let total = stray.reduce(0, +)
        return (stray.map { $0 == 0 ? 0 : max(1, (missing * $0 + total / 2) / max(1, total)) }, 0)
    }
}
