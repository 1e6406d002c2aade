/// Detects the beginning and end of speech in live sound, and splits it into pieces.
///
/// A turn lasts from the first speech to a pause; a long turn has several pieces, the first of which are returned while
/// it lasts. A decision about a frame takes at most one second, the look-ahead of the detector.
package struct SpeechTurns: Sendable {
    package enum Event: Sendable, Equatable {
        /// Speech that begins at this sample.
        case began(at: Int)
        case piece(SpeechPiece, endsTurn: Bool)
    }

    private var segmenter: SpeechSegmenter
    private var isInTurn = false

    package init(_ options: SpeechSegmenter.Options = .live) { segmenter = SpeechSegmenter(options) }

    /// - Parameter samples: the next samples, at 16 kHz, in chunks of any size.
    package mutating func append(_ samples: [Float]) -> [Event] {
        // Frame by frame, so that each call produces at most one event.
        stride(from: 0, to: samples.count, by: VoiceActivityDetector.frameLength).flatMap { first in
            let frame = samples[first..<min(first + VoiceActivityDetector.frameLength, samples.count)]
            return events(segmenter.append(Array(frame)))
        }
    }

    /// Ends the sound, or the turn if the speaker signals its end.
    package mutating func finish() -> [Event] {
        let pieces = segmenter.finish()
        guard !pieces.isEmpty else { return [] }
        let began = isInTurn ? [] : [Event.began(at: pieces[0].speech.lowerBound)]
        isInTurn = false
        return began
            + pieces.enumerated().map { .piece($1, endsTurn: $0 == pieces.count - 1) }
    }

    private mutating func events(_ pieces: [SpeechPiece]) -> [Event] {
        let start = segmenter.speechStart
        var events: [Event] = []
        for piece in pieces {
            if !isInTurn { events.append(.began(at: piece.speech.lowerBound)) }
            isInTurn = start != nil
            events.append(.piece(piece, endsTurn: !isInTurn))
        }
        if let start, !isInTurn {
            isInTurn = true
            events.append(.began(at: start))
        }
        return events
    }
}
