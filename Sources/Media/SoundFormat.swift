import Foundation

/// Names of audio and video formats that the linked libraries do not read, by their first bytes.
enum SoundFormat {
    static func name(_ bytes: Data) -> String? { container(bytes) ?? codec(bytes) }

    /// Containers that only `ffmpeg` reads.
    static func container(_ bytes: Data) -> String? {
        let head = [UInt8](bytes.prefix(600))
        func has(_ text: String, at offset: Int = 0) -> Bool { head.dropFirst(offset).starts(with: text.utf8) }
        func has(_ magic: [UInt8]) -> Bool { head.starts(with: magic) }
        if has("ftyp", at: 4) {
            let brands: [(String, String?)] = [
                ("M4A", "M4A (AAC or ALAC)"), ("M4B", "M4B"), ("3g", "3GP"), ("qt  ", "QuickTime"), ("hei", nil),
                ("hev", nil), ("mif1", nil), ("msf1", nil), ("avif", nil), ("avis", nil),
            ]
            return brands.first { has($0.0, at: 8) }.map(\.1) ?? "MP4"
        }
        if ["moov", "mdat", "wide", "skip", "free", "pnot"].contains(where: { has($0, at: 4) }) { return "QuickTime" }
        if has("RIFF"), has("AVI ", at: 8) { return "AVI" }
        // MPEG-TS packets have 188 bytes; some recorders put a 4-byte timestamp before each.
        if [0, 4].contains(where: { start in
            head.count > start + 376 && [0, 1, 2].allSatisfy { head[start + $0 * (188 + start)] == 0x47 }
        }) {
            return "MPEG transport stream"
        }
        if head.count > 1, head[0] == 0xFF, head[1] & 0xF6 == 0xF0 { return "AAC" }
        let magics: [(String, [UInt8])] = [
            ("Matroska or WebM", [0x1A, 0x45, 0xDF, 0xA3]), ("AMR", Array("#!AMR".utf8)),
            ("WMA or WMV", [0x30, 0x26, 0xB2, 0x75]), ("FLV", Array("FLV\u{1}".utf8)),
            ("WavPack", Array("wvpk".utf8)), ("Monkey's Audio", Array("MAC ".utf8)), ("True Audio", Array("TTA1".utf8)),
            ("Musepack", Array("MPCK".utf8)), ("Musepack", Array("MP+".utf8)), ("RealMedia", Array(".RMF".utf8)),
            ("RealAudio", [0x2E, 0x72, 0x61, 0xFD]), ("AC-3", [0x0B, 0x77]), ("DTS", [0x7F, 0xFE, 0x80, 0x01]),
            ("DSD", Array("DSD ".utf8)), ("DSD", Array("FRM8".utf8)), ("MPEG program stream", [0, 0, 1, 0xBA]),
            ("AAC (LATM)", [0x56, 0xE0]), ("OptimFROG", Array("OFR ".utf8)), ("MXF", [0x06, 0x0E, 0x2B, 0x34]),
        ]
        return magics.first { has($0.1) }?.0
    }

    /// Codecs inside containers that the linked libraries read.
    static func codec(_ bytes: Data) -> String? {
        let head = [UInt8](bytes.prefix(4_096))
        func has(_ text: String, at offset: Int) -> Bool { head.dropFirst(offset).starts(with: text.utf8) }
        if has("RIFF", at: 0), has("WAVE", at: 8) {
            let source = SourceBytes(bytes.prefix(4_096), name: "")
            guard let tag = source.waveFormatTag else { return nil }
            return "WAV with \(waveCodecs[tag] ?? "codec \(tag)")"
        }
        // The first packet of a stream follows the page header and one segment length.
        if has("OggS", at: 0), head.count > 36 {
            let packet = 27 + Int(head[26])
            let kinds: [([UInt8], String)] = [
                ([0x7F] + Array("FLAC".utf8), "FLAC"), (Array("Speex".utf8), "Speex"),
                ([0x80] + Array("theora".utf8), "Theora"), (Array("fishead".utf8), "Skeleton"),
                (Array("CELT".utf8), "CELT"), ([0x01] + Array("video".utf8), "OGM"),
            ]
            return kinds.first { head.dropFirst(packet).starts(with: $0.0) }.map { "Ogg with \($0.1)" }
        }
        if has("caff", at: 0) { return "CAF" }
        // An ID3 tag may precede any format.
        return has("ID3", at: 0) ? "a file with an ID3 tag" : nil
    }

    /// Whether these first bytes match no known format.
    static func isUnknown(_ bytes: Data) -> Bool {
        let known = ["RIFF", "RF64", "FORM", ".snd", "fLaC", "OggS", "caff", "riff", "NIST", "Crea"]
        let head = bytes.prefix(4)
        return MediaFormat(bytes) == .unknown && name(bytes) == nil && !known.contains { head.elementsEqual($0.utf8) }
    }

    /// Whether `ffmpeg` is worth trying: not for images and documents.
    static func mayHaveSound(_ bytes: Data) -> Bool { MediaFormat(bytes) == .unknown }

    /// Source: RFC 2361, and Microsoft's `mmreg.h`.
    private static let waveCodecs: [Int: String] = [
        0x01: "PCM", 0x03: "floats", 0x50: "MPEG audio", 0x55: "MP3", 0xFF: "AAC", 0x160: "WMA", 0x161: "WMA",
        0x162: "WMA", 0x163: "WMA", 0x1610: "AAC", 0x2000: "AC-3", 0x2001: "DTS", 0xA109: "Speex", 0xF1AC: "FLAC",
        0x674F: "Vorbis", 0x6771: "Vorbis", 0x45: "G.726", 0x64: "G.726", 0x130: "ACELP", 0x22: "TrueSpeech",
    ]
}
