import Foundation

/// The first four bytes of a frame of MPEG audio.
///
/// Source: ISO/IEC 11172-3, 2.4.1.3, and 13818-3.
struct MPEGFrameHeader: Equatable {
    let sampleRate: Int
    let channels: Int
    /// Of the frame, in bytes.
    let length: Int
    /// In the frame, of each channel.
    let samples: Int
    fileprivate let layer: Int
    fileprivate let isMPEG1: Bool
    /// Two bytes behind the header.
    fileprivate let hasChecksum: Bool
    /// Of layer III, in bytes. Encoders leave behind it how long the recording is.
    fileprivate let sideInformation: Int

    /// Nil for other bytes, and for the free format, whose frames do not say how long they are.
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

    /// In kbit/s: MPEG 1's layers, then MPEG 2's first and its others.
    private static let bitrates = [
        [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ]

    /// Whether frames of one stream may follow each other so.
    fileprivate func continues(_ other: MPEGFrameHeader) -> Bool {
        sampleRate == other.sampleRate && samples == other.samples && channels == other.channels
    }
}

extension SourceBytes {
    /// MP3 and its older layers: each of joined recordings is a part, and so is what follows damage. Tags and padding are
    /// left out; what else stands between frames has taken the place of sound, as long as it would play.
    ///
    /// Nil if the first sound of the file is of another kind.
    var mpegLayout: SoundLayout? {
        bytes.withUnsafeBytes { buffer in
            var scan = MPEGScan(buffer.bindMemory(to: UInt8.self))
            let recordings = scan.findsStart() ? scan.recordings() : []
            guard !recordings.isEmpty else {
                // libsndfile would hand it to libmpg123 too, and let that write to the terminal.
                return scan.isLikeMPEG
                    ? SoundLayout(parts: [.init(decoder: .libmpg123, bytes: SplicedBytes([self.bytes]))]) : nil
            }
            return MPEGScan.layout(recordings) { range in
                SplicedBytes([bytes[bytes.startIndex + range.lowerBound..<bytes.startIndex + range.upperBound]])
            }
        }
    }
}

/// Goes through a file frame by frame.
private struct MPEGScan {
    /// One of the recordings that a file joins.
    struct Recording {
        let header: MPEGFrameHeader
        /// What the encoder wrote into the first frame; nil if it wrote nothing.
        let announced: Int?
        var frames = 0
        /// Runs of frames, and what stands before each: bytes of something else, and frames that cannot be decoded.
        var runs: [(range: Range<Int>, stray: Int, broken: Int)]
        /// Frames behind the last run that cannot be decoded.
        var broken = 0
    }

    /// Tags and padding before the first frame, at most.
    private static let longestLeader = 1 << 20

    private let bytes: UnsafeBufferPointer<UInt8>
    private var place = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    /// Goes to the first frame; says whether there is one, and nothing but tags and padding stands before it.
    mutating func findsStart() -> Bool {
        while let length = tagLength(at: place) { place += length }
        let end = min(bytes.count, place + Self.longestLeader)
        while place < end, bytes[place] == 0 { place += 1 }
        while let length = tagLength(at: place) { place += length }
        if isConfirmed(place) { return true }
        // A stream that was recorded from its middle begins within a frame.
        guard place < bytes.count, SoundFormat.isUnknown(Data(bytes[place..<min(bytes.count, place + 4_096)])),
            let first = (place..<min(bytes.count, place + Self.longestFrame)).first(where: {
                isConfirmed($0, frames: 4)
            })
        else { return false }
        place = first
        return true
    }

    /// Of any bitrate.
    private static let longestFrame = 2_881

    /// Whether something that is no other kind of sound stands behind a tag, or what may be a frame.
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
                // The frame that has the announcement has no sound.
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

    /// Whether the header at `place` is one: the less it has in common with what came before, the more must follow.
    private func continues(_ header: MPEGFrameHeader, _ recording: Recording?, isStray: Bool) -> Bool {
        guard let recording else { return isConfirmed(place) }
        let isLike = header.continues(recording.header)
        return isLike && !isStray || isConfirmed(place, frames: isLike ? 1 : 3)
    }

    private func header(at place: Int) -> MPEGFrameHeader? {
        guard place + 4 <= bytes.count, bytes[place] == 0xFF else { return nil }
        return MPEGFrameHeader(bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3])
    }

    /// Whether a frame begins there, since so many of its kind follow it, or fewer and then a tag or the end.
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

    /// Random bytes pass for a frame of one channel in one of three cases: so many must follow where damage ends.
    private static let framesBehindDamage = 8

    /// Whether the frame at `place` can be decoded, and so many of its kind follow it that can be.
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

    /// Whether what a frame of layer III says of its contents can be true. Frames of the other layers say nothing that is
    /// checked.
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

    /// Of an ID3, APE or Lyrics tag.
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
            // Its length stands at its end: six digits, and nine letters.
            let rest = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[place...].prefix(1 << 20))
            for end in ["LYRICS200", "LYRICSEND"] {
                if let found = Data(rest).range(of: Data(end.utf8)) { return found.upperBound }
            }
        }
        if has("APETAGEX"), place + 32 <= bytes.count {
            let size = (0..<4).reduce(0) { $0 | Int(bytes[place + 12 + $1]) << (8 * $1) }
            // At the end of a tag the same stands again; its size is then behind us.
            return bytes[place + 23] & 0x20 == 0 ? 32 : min(bytes.count - place, 32 + size)
        }
        return nil
    }

    /// How many frames the one at `place` says that follow it; nil if it is one of sound.
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

    // MARK: What is missing

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

    /// How many frames are missing in each gap between runs, and behind the last run, beside those that are there and
    /// broken.
    ///
    /// What stands in a gap has taken the place of frames, as many as fit, unless the announcement says fewer: it may have
    /// been put between them. One is broken in any case.
    private static func missingFrames(_ recording: Recording) -> (gaps: [Int], rest: Int) {
        let stray = recording.runs.dropFirst().map(\.stray)
        let length = max(1, recording.runs.reduce(0) { $0 + $1.range.count } / max(1, recording.frames))
        let guesses = stray.map { $0 == 0 ? 0 : max(1, $0 / length) }
        let guessed = guesses.reduce(0, +)
        // Some encoders count the frame of the announcement, or pad: what is near is all there.
        guard let announced = recording.announced, announced > 0 else { return (guesses, 0) }
        let broken = recording.runs.reduce(recording.broken) { $0 + $1.broken }
        let missing = announced - recording.frames - broken
        guard guessed > 0 else { return (guesses, missing > 2 ? missing : 0) }
        // Where frames differ in length the guess is coarse.
        guard missing <= 2 * guessed + 2 else { return (guesses, missing - guessed) }
        let total = stray.reduce(0, +)
        return (stray.map { $0 == 0 ? 0 : max(1, (missing * $0 + total / 2) / max(1, total)) }, 0)
    }
}
