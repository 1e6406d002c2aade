import CSndFile
import Foundation

/// Recordings in the formats that libsndfile writes.
package enum EncodedSound: String, Sendable, CaseIterable {
    case wav, aiff, au, flac, vorbis, opus, mp3

    private var format: Int {
        switch self {
        case .wav: SF_FORMAT_WAV | SF_FORMAT_PCM_16
        case .aiff: SF_FORMAT_AIFF | SF_FORMAT_PCM_16
        case .au: SF_FORMAT_AU | SF_FORMAT_PCM_16
        case .flac: SF_FORMAT_FLAC | SF_FORMAT_PCM_16
        case .vorbis: SF_FORMAT_OGG | SF_FORMAT_VORBIS
        case .opus: SF_FORMAT_OGG | SF_FORMAT_OPUS
        case .mp3: SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III
        }
    }

    /// - Parameter interleaved: `[frames, channels]`, in [-1, 1].
    /// - Returns: the bytes of the file; none if libsndfile cannot write it.
    package func file(_ interleaved: [Float], channels: Int = 1, rate: Int = Sounds.rate) throws -> Data {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/sound"
        var info = SF_INFO()
        (info.samplerate, info.channels, info.format) = (Int32(rate), Int32(channels), Int32(format))
        guard let file = sf_open(path, Int32(SFM_WRITE), &info) else { return Data() }
        // The Vorbis encoder of libsndfile takes no more at once.
        let block = 4_096 * channels
        for start in stride(from: 0, to: interleaved.count, by: block) {
            let part = Array(interleaved[start..<min(interleaved.count, start + block)])
            sf_writef_float(file, part, sf_count_t(part.count / channels))
        }
        sf_close(file)
        return try Data(contentsOf: URL(filePath: path))
    }
}
