import Foundation

/// Decodes the parts of a recording in sequence, with silence for missing sound between them.
///
/// Sendable although it is mutable: it has one owner, and reading needs exclusive access to that owner.
final class JoinedSound: @unchecked Sendable {
    let source: SourceBytes
    /// Maximum over all parts.
    let channels: Int
    let firstSampleRate: Int
    let announcedDurationInSeconds: Double
    let notices: [MediaNotice]
    /// Missing ranges, in seconds of the recording.
    private(set) var lost: [Range<Double>] = []
    /// Why not all of the recording could be read; nil while no damage is known.
    private(set) var damage: MediaError?

    private let layout: SoundLayout
    private var next = 0
    private var decoder: any SoundDecoder
    /// The part that is being decoded.
    private var part: SoundLayout.Part
    private var framesOfPart = 0
    /// Position of the next output frame, in seconds of the recording.
    private var seconds = 0.0
    /// Silence that comes before the next frame, in frames.
    private var silence = 0
    /// The stream's clock at the end of the last part, in ticks.
    private var ticks = 0
    /// Where the search for FLAC frames after damage begins; nil for other formats.
    private var searchFrom: Int?
    private var isFinished = false
    /// The first error of a decoder.
    private var failure: MediaError?

    /// Shorter losses are rounding of the decoders.
    private static let shortestLoss = 0.1

    /// - Throws: `MediaError` if no part opens.
    init(_ source: SourceBytes) throws(MediaError) {
        self.source = source
        layout = try SoundLayout.of(source)
        notices = layout.notices
        part = layout.parts[0]
        decoder = try Self.open(source, part)
        firstSampleRate = decoder.sampleRate
        channels = max(decoder.channels, layout.parts.compactMap(\.channels).max() ?? 0)
        searchFrom = source.flacFrames
        let first = Double(decoder.announcedFrames) / Double(decoder.sampleRate)
        announcedDurationInSeconds = layout.parts.count == 1 ? first + layout.lostAtEnd + first * part.missingShare : 0
        next = 1
    }

    var sampleRate: Int { decoder.sampleRate }

    private static func open(_ source: SourceBytes, _ part: SoundLayout.Part) throws(MediaError) -> any SoundDecoder {
        switch part.decoder {
        case .libsndfile: try SoundFile(source, part.bytes)
        case .libmpg123: try MPEGFile(source, part.bytes)
        }
    }

    /// The next frames, at most `frames`: `[frames, channels]`; empty at the end.
    func read(frames: Int) -> [Float] {
        while !isFinished {
            if silence > 0 {
                let count = min(silence, frames)
                silence -= count
                seconds += Double(count) / Double(sampleRate)
                return [Float](repeating: 0, count: count * channels)
            }
            var failure: MediaError?
            var samples: [Float] = []
            do { samples = try decoder.read(frames: frames) } catch { failure = error }
            if !samples.isEmpty {
                framesOfPart += samples.count / decoder.channels
                seconds += Double(samples.count / decoder.channels) / Double(sampleRate)
                return widened(samples)
            }
            self.failure = self.failure ?? failure
            advance()
        }
        return []
    }

    /// Expands samples to the channel count of the recording.
    private func widened(_ samples: [Float]) -> [Float] {
        let (from, to) = (decoder.channels, channels)
        guard from != to else { return samples }
        return (0..<samples.count / from * to).map { index in
            let channel = index % to
            return channel < from ? samples[index / to * from + channel] : from == 1 ? samples[index / to] : 0
        }
    }

    // MARK: Next part

    private func advance() {
        let announced = decoder.announcedFrames
        let missing = part.decoder == .libsndfile && announced < 1 << 40 ? announced - framesOfPart : 0
        if searchFrom != nil, missing != 0, resume() { return }
        lose(frames: missing, atLeast: searchFrom == nil ? Self.shortestLoss : 0)
        lose(seconds: Double(framesOfPart) / Double(sampleRate) * part.missingShare)
        if let end = part.end { ticks = end.ticks }
        var lostBefore = 0.0
        while next < layout.parts.count {
            part = layout.parts[next]
            next += 1
            lostBefore += part.lostBefore
            // A part that does not open has lost its headers.
            guard let opened = try? Self.open(source, part) else {
                failure =
                    failure
                    ?? source.error(
                        .malformed, expected: "sound that decodes",
                        found: "a stream that does not after \(time(seconds))", remedy: Self.again)
                continue
            }
            decoder = opened
            framesOfPart = 0
            lose(seconds: lostBefore)
            if let end = part.end, end.isRest {
                let frames = decoder.announcedFrames * end.rate / decoder.sampleRate
                lose(seconds: Double(end.ticks - frames - ticks) / Double(end.rate))
            }
            return
        }
        isFinished = true
        lose(seconds: lostBefore + layout.lostAtEnd)
        silence = 0
        judge()
    }

    /// Resumes decoding FLAC after a frame that does not decode.
    private func resume() -> Bool {
        guard let header = source.flacFrames, let start = searchFrom,
            let first = source.flacFrame(from: header, notBefore: 0)?.sample
        else { return false }
        // Sample position reached, in the file's own numbering.
        let position = first + Int((seconds * Double(sampleRate)).rounded())
        if let broken = source.brokenFlacFrame(before: position, from: start) {
            let length = Double(position - broken) / Double(sampleRate)
            note(seconds - length..<seconds)
        }
        var from = start
        while let frame = source.flacFrame(from: from, notBefore: position) {
            from = frame.place + 1
            searchFrom = from
            let bytes = source.bytes
            let rest = SoundLayout.Part(
                decoder: .libsndfile,
                bytes: SplicedBytes([
                    bytes[bytes.startIndex..<bytes.startIndex + header],
                    bytes[(bytes.startIndex + frame.place)...],
                ]))
            guard let opened = try? Self.open(source, rest) else { continue }
            (part, decoder, framesOfPart) = (rest, opened, frame.sample - first)
            lose(frames: frame.sample - position, atLeast: 0)
            return true
        }
        return false
    }

    // MARK: Losses

    private func lose(frames: Int, atLeast shortest: Double = shortestLoss) {
        lose(seconds: Double(frames) / Double(sampleRate), atLeast: shortest)
    }

    private func lose(seconds length: Double, atLeast shortest: Double = 0.001) {
        guard length.isFinite, length > shortest else { return }
        let start = seconds + Double(silence) / Double(sampleRate)
        note(start..<start + length)
        silence += Int((length * Double(sampleRate)).rounded())
    }

    private func note(_ range: Range<Double>) {
        if let last = lost.last, abs(last.upperBound - range.lowerBound) < 1e-3 {
            lost[lost.count - 1] = last.lowerBound..<range.upperBound
        } else {
            lost.append(range)
        }
    }

    private static let again = "copy or download it again"

    private func judge() {
        let total = lost.reduce(0) { $0 + $1.upperBound - $1.lowerBound }
        if let first = lost.first, lost.count == 1, first.lowerBound >= seconds - 1e-6 {
            damage = source.error(
                .truncated, expected: "a whole recording",
                found: "\(String(format: "%.2f", seconds)) of \(time(first.upperBound)) of sound", remedy: Self.again)
        } else if let first = lost.first {
            let places = lost.count == 1 ? "does not" : "do not, in \(lost.count) places"
            damage = source.error(
                .malformed, expected: "sound that decodes",
                found: "\(time(total)) that \(places), from \(time(first.lowerBound)) on", remedy: Self.again)
        } else if let failure {
            damage = failure
        } else if layout.isCut {
            damage = source.error(
                .truncated, expected: "a whole recording", found: "no end after \(time(seconds)) of sound",
                remedy: Self.again)
        }
    }

    private func time(_ seconds: Double) -> String { String(format: "%.2f s", seconds) }
}
