/// A segment of a recording that the model processes at once.
package struct SpeechPiece: Sendable, Equatable {
    /// 16 kHz, including a short silence around the speech.
    package let samples: [Float]
    /// Its range in the recording, in samples at 16 kHz.
    package let range: Range<Int>
    /// Range of its speech in the recording, from which transcripts take their times.
    package let speech: Range<Int>
    /// Its speech without the pauses.
    package let stretches: [Range<Int>]
    /// Samples at its beginning that overlap the previous piece, because no pause was found between them.
    package let overlap: Int
    /// Whether it was cut within speech, so that the next piece overlaps it.
    package let isCutInSpeech: Bool
    /// The fraction of its frames in which speech was detected.
    package let speechShare: Double
}
