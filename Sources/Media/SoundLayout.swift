import Foundation

/// The parts of a recording in the order in which they are decoded, and the sound that is missing.
struct SoundLayout {
    struct Part {
        enum Decoder { case libsndfile, libmpg123 }

        let decoder: Decoder
        let bytes: SplicedBytes
        /// Seconds of sound known to be missing before it.
        var lostBefore = 0.0
        /// Sound that the container announces but does not hold, as a fraction of what it holds.
        var missingShare = 0.0
        /// Its end on the clock of its stream, in ticks of 1/`rate` s, and whether it is the remainder of a stream.
        var end: (ticks: Int, rate: Int, isRest: Bool)?
        var channels: Int?
    }

    var parts: [Part]
    /// Seconds of sound known to be missing after the last part.
    var lostAtEnd = 0.0
    /// Evidence that the file is truncated, if the missing duration is unknown.
    var isCut = false
    var notices: [MediaNotice] = []

    /// One part, all bytes decoded by libsndfile.
    init(_ source: SourceBytes) {
        parts = [Part(decoder: .libsndfile, bytes: SplicedBytes([source.bytes]))]
    }

    init(parts: [Part]) { self.parts = parts }

    /// - Throws: `MediaError` if there are no bytes.
    static func of(_ source: SourceBytes) throws(MediaError) -> SoundLayout {
        guard !source.bytes.isEmpty else {
            throw source.error(
                .empty, expected: "a recording", found: "no bytes", remedy: "check that it was written or downloaded")
        }
        // Ogg pages and MPEG audio frames are scanned to the end.
        defer { source.forget(0..<source.bytes.count) }
        return source.waveLayout ?? source.aiffLayout ?? source.auLayout ?? source.oggLayout ?? source.mpegLayout
            ?? SoundLayout(source)
    }
}

/// A message to the user about a recording or a film that can be read nevertheless.
public struct MediaNotice: Sendable, Equatable {
    /// The sentence.
    public let text: String
    /// Whether it reports a defect.
    public let isWarning: Bool

    /// A remark; a warning unless something else is said.
    public init(_ text: String, isWarning: Bool = true) { (self.text, self.isWarning) = (text, isWarning) }
}
