/// One stretch of sound of one rate and number of channels on its way out of a file. A class, since reading moves on.
protocol SoundDecoder: AnyObject {
    /// In hertz.
    var sampleRate: Int { get }
    var channels: Int { get }
    /// Frames that the header announces; 0 or far too many where it does not know.
    var announcedFrames: Int { get }
    /// The next at most `frames` frames, `[frames, channels]`, nominally in [-1, 1]; empty at the end.
    func read(frames: Int) throws(MediaError) -> [Float]
}

/// Beyond these a header is wrong, or the recording is of something else than speech.
enum SoundLimits {
    static let rates = 1_000...768_000
    static let mostChannels = 64

    /// - Throws: `MediaError` for a recording that is not within them.
    static func check(_ source: SourceBytes, channels: Int, sampleRate: Int) throws(MediaError) {
        guard (1...mostChannels).contains(channels), rates.contains(sampleRate) else {
            throw source.error(
                .tooLarge,
                expected: "1 to \(mostChannels) channels at \(rates.lowerBound) to \(rates.upperBound) Hz",
                found: "\(channels) channels at \(sampleRate) Hz",
                remedy: "unless the header is damaged, convert it with: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav")
        }
    }
}
