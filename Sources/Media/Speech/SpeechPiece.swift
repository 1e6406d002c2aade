/// A piece of a recording that a model hears at once.
package struct SpeechPiece: Sendable, Equatable {
    /// 16 kHz, with a little of the silence around the speech.
    package let samples: [Float]
    /// Where they stand in the recording, in samples at 16 kHz.
    package let range: Range<Int>
    /// Where in the recording its speech begins and ends: the times of a transcript.
    package let speech: Range<Int>
    /// The same without the pauses.
    package let stretches: [Range<Int>]
    /// Samples at its beginning that the piece before it has too, because no pause was found between them.
    package let overlap: Int
    /// Whether it ends within speech, so that the next piece overlaps it.
    package let isCutInSpeech: Bool
    /// The share of its frames in which speech was detected.
    package let speechShare: Double
}
