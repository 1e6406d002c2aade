import Foundation

/// How the sound of a file lies in it: stretches that are decoded one after the other, and what is missing of it.
struct SoundLayout {
    struct Part {
        enum Decoder { case libsndfile, libmpg123 }

        let decoder: Decoder
        let bytes: SplicedBytes
        /// Seconds of sound that are known to be missing before it.
        var lostBefore = 0.0
        /// What its container announces and does not hold, as a share of what it holds.
        var missingShare = 0.0
        /// Where it ends on the clock of its stream, in ticks of 1/`rate` s, and whether it is the rest of one.
        var end: (ticks: Int, rate: Int, isRest: Bool)?
        var channels: Int?
    }

    var parts: [Part]
    /// Seconds that are known to be missing behind the last part.
    var lostAtEnd = 0.0
    /// What shows that the file was cut, where nobody knows how much is missing.
    var isCut = false
    var notices: [MediaNotice] = []

    /// What libsndfile makes of all bytes.
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
        // Pages of Ogg and frames of MPEG audio are looked at to the last.
        defer { source.forget(0..<source.bytes.count) }
        return source.waveLayout ?? source.aiffLayout ?? source.auLayout ?? source.oggLayout ?? source.mpegLayout
            ?? SoundLayout(source)
    }
}

/// What a user should know of a recording or a film that is read all the same.
public struct MediaNotice: Sendable, Equatable {
    public let text: String
    /// Whether something is wrong.
    public let isWarning: Bool

    public init(_ text: String, isWarning: Bool = true) { (self.text, self.isWarning) = (text, isWarning) }
}
