/// Tells while sound comes in when somebody begins and ends to speak, and cuts what is said into pieces.
///
/// A turn lasts from the first speech to a pause; a long one has several pieces, the first of which come while it goes on.
/// Whether a moment is speech is known one second after it at the latest, because the detector looks so far ahead.
package struct SpeechTurns: Sendable {
    package enum Event: Sendable, Equatable {
        /// Speech that begins at this sample.
        case began(at: Int)
        case piece(SpeechPiece, endsTurn: Bool)
    }

    private var segmenter: SpeechSegmenter
    private var isInTurn = false

    package init(_ options: SpeechSegmenter.Options = .live) { segmenter = SpeechSegmenter(options) }

    /// - Parameter samples: the next, at 16 kHz, in blocks of any size.
    package mutating func append(_ samples: [Float]) -> [Event] {
        // Frame by frame, so that at most one thing happens in a block.
        stride(from: 0, to: samples.count, by: VoiceActivityDetector.frameLength).flatMap { first in
            let frame = samples[first..<min(first + VoiceActivityDetector.frameLength, samples.count)]
            return events(segmenter.append(Array(frame)))
        }
    }

    /// The sound has ended, or whoever speaks says so.
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
