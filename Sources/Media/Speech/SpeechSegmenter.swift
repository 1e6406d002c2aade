/// Splits a recording of any length into segments of speech and drops the silence between them, chunk by chunk, in
/// bounded memory.
///
/// A long pause ends a piece. A piece that reaches its limit is cut in a shorter pause; without a pause it is cut at
/// the quietest moment before the limit, and both pieces contain the sound around the cut, so that every word is whole
/// in one of them. A recording that fits into one piece stays whole if it contains speech and less than 3 s of
/// removable silence.
package struct SpeechSegmenter: Sendable {
    package struct Options: Sendable, Equatable {
        /// Maximum length of a piece.
        package var maxPieceInSeconds: Double
        /// A pause of this length ends a piece; at least 0.3 s.
        package var pauseInSeconds: Double
        /// Whether a recording that fits into one piece stays one piece, including its silence.
        package var keepsShortRecordings: Bool
        /// Whether silence and steady noise are dropped; otherwise everything counts as speech.
        package var detectsSpeech = true

        package init(maxPieceInSeconds: Double = 28, pauseInSeconds: Double = 1, keepsShortRecordings: Bool = true) {
            self.maxPieceInSeconds = maxPieceInSeconds
            self.pauseInSeconds = pauseInSeconds
            self.keepsShortRecordings = keepsShortRecordings
        }

        /// For live speech: short pieces, so that the first words appear while the speaker continues.
        package static let live = Options(maxPieceInSeconds: 10, pauseInSeconds: 0.5, keepsShortRecordings: false)
    }

    private static let frame = VoiceActivityDetector.frameLength
    private static let rate = VoiceActivityDetector.sampleRate
    /// Silence kept before and after the speech of a piece, for consonants as faint as noise.
    private static let lead = rate * 3 / 10
    private static let tail = rate * 3 / 10
    /// The shortest pause, in frames, at which a piece that is too long is cut.
    private static let shortestPause = 12
    /// Overlap of two pieces cut within speech.
    private static let overlap = rate * 3 / 2
    /// A recording that fits into one piece is still split if this much silence can be dropped.
    private static let mostSilence = rate * 3
    /// Maximum length before the limit in which the quietest moment is searched.
    private static let search = rate * 5

    package let options: Options
    private let maxSamples: Int
    private let pauseFrames: Int

    private var detector = VoiceActivityDetector()
    /// Samples of the recording from `bufferStart` on.
    private var buffer: [Float] = []
    private var bufferStart = 0
    private var samplesSeen = 0
    private var framesDecided = 0
    /// Speech ranges of the current piece, in frames.
    private var stretches: [Range<Int>] = []
    /// Number of speech frames of the recording, and the bounds of its speech.
    private var voiced = (count: 0, first: 0, end: 0)
    /// End of the samples that earlier pieces contain.
    private var cursor = 0
    private var overlapWithLast = 0
    /// All pieces, while the recording may still fit into one.
    private var held: [SpeechPiece] = []
    /// Silent samples before the last piece that are in no piece. Final once the recording has ended.
    package private(set) var skippedSamples = 0

    package init(_ options: Options = .init()) {
        precondition(
            (2...30).contains(options.maxPieceInSeconds) && options.pauseInSeconds > 0,
            "maxPieceInSeconds \(options.maxPieceInSeconds), pauseInSeconds \(options.pauseInSeconds)")
        self.options = options
        maxSamples = Int(options.maxPieceInSeconds * Double(Self.rate))
        pauseFrames = max(Self.tail, Int(options.pauseInSeconds * Double(Self.rate))) / Self.frame
    }

    /// - Parameter samples: the next samples of the recording, at 16 kHz.
    /// - Returns: the pieces that are complete.
    package mutating func append(_ samples: [Float]) -> [SpeechPiece] {
        buffer += samples
        samplesSeen += samples.count
        let pieces = decide(asWanted(detector.append(samples)))
        forgetOldSamples()
        guard mayBeOnePiece else {
            defer { held = [] }
            return held + pieces
        }
        held += pieces
        return []
    }

    /// The remaining pieces at the end of the recording.
    package mutating func finish() -> [SpeechPiece] {
        var pieces = held + decide(asWanted(detector.finish()))
        if !stretches.isEmpty {
            pieces.append(piece(endingAt: min(speechSamples.upperBound + Self.tail, start + maxSamples)))
        }
        skippedSamples += samplesSeen - cursor
        cursor = samplesSeen
        let hasSpeech = voiced.count > 0 && skippedSamples < Self.mostSilence
        guard mayBeOnePiece, samplesSeen > 0, hasSpeech || !options.detectsSpeech else { return pieces }
        skippedSamples = 0
        return [whole(pieces)]
    }

    private func asWanted(_ decisions: [Bool]) -> [Bool] {
        options.detectsSpeech ? decisions : [Bool](repeating: true, count: decisions.count)
    }

    /// The first speech sample of the current piece; nil during silence.
    package var speechStart: Int? { stretches.first.map { $0.lowerBound * Self.frame } }

    private var mayBeOnePiece: Bool { options.keepsShortRecordings && samplesSeen <= maxSamples }

    /// - Parameter pieces: the pieces into which the recording would be split.
    private func whole(_ pieces: [SpeechPiece]) -> SpeechPiece {
        let speech = min(voiced.first * Self.frame, samplesSeen)..<min(voiced.end * Self.frame, samplesSeen)
        return SpeechPiece(
            samples: buffer, range: 0..<samplesSeen, speech: voiced.count > 0 ? speech : 0..<samplesSeen,
            stretches: pieces.flatMap(\.stretches), overlap: 0, isCutInSpeech: false,
            speechShare: min(1, Double(voiced.count * Self.frame) / Double(samplesSeen)))
    }

    private mutating func decide(_ decisions: [Bool]) -> [SpeechPiece] {
        var pieces: [SpeechPiece] = []
        for isSpeech in decisions {
            if isSpeech {
                if voiced.count == 0 { voiced.first = framesDecided }
                (voiced.count, voiced.end) = (voiced.count + 1, framesDecided + 1)
                if let last = stretches.last, last.upperBound == framesDecided {
                    stretches[stretches.count - 1] = last.lowerBound..<framesDecided + 1
                } else {
                    stretches.append(framesDecided..<framesDecided + 1)
                }
            }
            framesDecided += 1
            guard let last = stretches.last else { continue }
            if framesDecided - last.upperBound >= pauseFrames {
                pieces.append(piece(endingAt: last.upperBound * Self.frame + Self.tail))
            } else if framesDecided * Self.frame - start >= maxSamples {
                pieces.append(cut())
            }
        }
        return pieces
    }

    // MARK: The current piece

    private var voicedFrames: Int { stretches.reduce(0) { $0 + $1.count } }

    private var stretchesInSamples: [Range<Int>] {
        stretches.map { $0.lowerBound * Self.frame..<min(samplesSeen, $0.upperBound * Self.frame) }
    }

    /// Range from the first to the last sample of its speech.
    private var speechSamples: Range<Int> {
        stretches[0].lowerBound * Self.frame..<min(samplesSeen, stretches[stretches.count - 1].upperBound * Self.frame)
    }

    /// Its first sample.
    private var start: Int {
        overlapWithLast > 0 ? cursor - overlapWithLast : max(cursor, stretches[0].lowerBound * Self.frame - Self.lead)
    }

    /// Ends the piece at `end`; the next begins with the speech after it.
    private mutating func piece(endingAt end: Int, isCutInSpeech: Bool = false) -> SpeechPiece {
        let range = start..<min(end, samplesSeen)
        let piece = SpeechPiece(
            samples: Array(buffer[range.lowerBound - bufferStart..<range.upperBound - bufferStart]), range: range,
            speech: speechSamples, stretches: stretchesInSamples, overlap: overlapWithLast,
            isCutInSpeech: isCutInSpeech,
            speechShare: min(1, Double(voicedFrames * Self.frame) / Double(range.count)))
        skippedSamples += max(0, range.lowerBound - cursor)
        cursor = range.upperBound
        overlapWithLast = 0
        stretches = []
        return piece
    }

    /// Ends a piece that has reached its limit, and begins the next within it.
    private mutating func cut() -> SpeechPiece {
        let lastSpeech = stretches[stretches.count - 1].upperBound
        if framesDecided - lastSpeech >= Self.shortestPause {
            return piece(endingAt: quietest(from: lastSpeech * Self.frame, through: framesDecided * Self.frame))
        }
        if let pause = bestPause {
            let rest = Array(stretches[pause...])
            stretches.removeSubrange(pause...)
            // In faint speech a pause may contain a word: the quietest moment avoids it.
            let place = quietest(from: speechSamples.upperBound, through: rest[0].lowerBound * Self.frame)
            let ended = piece(endingAt: min(place, speechSamples.upperBound + Self.tail))
            stretches = rest
            return ended
        }
        let limit = start + maxSamples
        let half = min(Self.overlap, maxSamples / 4) / 2
        let place = quietest(from: max(start + maxSamples / 2, limit - Self.search), through: limit - half)
        let (before, after) = (
            clipped(to: 0..<place / Self.frame), clipped(to: place / Self.frame..<framesDecided)
        )
        stretches = before
        let ended = piece(endingAt: place + half, isCutInSpeech: true)
        stretches = after
        overlapWithLast = 2 * half
        return ended
    }

    /// The quietest moment between two samples of the recording.
    private func quietest(from first: Int, through last: Int) -> Int {
        AudioSplitter.quietest(in: buffer, from: first - bufferStart, through: last - bufferStart) + bufferStart
    }

    /// Index of the speech range before which the piece is best cut: after the last pause in the second half of the
    /// piece that is at least half as long as the longest pause there.
    private var bestPause: Int? {
        let half = start + maxSamples / 2
        func length(_ index: Int) -> Int { stretches[index].lowerBound - stretches[index - 1].upperBound }
        let pauses = stretches.indices.dropFirst().filter {
            length($0) >= Self.shortestPause && stretches[$0].lowerBound * Self.frame > half
        }
        let longest = pauses.map(length).max() ?? 0
        return pauses.last { 2 * length($0) >= longest }
    }

    private func clipped(to frames: Range<Int>) -> [Range<Int>] {
        stretches.map { $0.clamped(to: frames) }.filter { !$0.isEmpty }
    }

    /// Drops the samples that no piece can need any more.
    private mutating func forgetOldSamples() {
        guard !mayBeOnePiece else { return }
        let needed = stretches.isEmpty ? max(cursor, framesDecided * Self.frame - Self.lead) : start
        if needed - bufferStart > 4 * Self.rate {
            buffer.removeFirst(needed - bufferStart)
            bufferStart = needed
        }
    }
}
