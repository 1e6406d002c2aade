import Foundation

/// The kind of medium in a file, and the name of its format, by its first bytes.
package struct MediaKind: Equatable, Sendable {
    package enum Medium: Sendable { case picture, sound, film }

    package let medium: Medium
    package let name: String

    /// Nil for anything else, and for anything but a regular file: bytes read from a pipe are consumed.
    package init?(of file: URL) {
        var status = stat()
        guard stat(file.path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            let handle = try? FileHandle(forReadingFrom: file)
        else { return nil }
        defer { try? handle.close() }
        self.init(head: (try? handle.read(upToCount: 256)) ?? Data())
    }

    init?(head: Data) {
        if let name = MediaFormat(head).name {
            let films = ["MP4", "Matroska or WebM"]
            self.init(films.contains(name) ? .film : name.hasPrefix("M4A") ? .sound : .picture, name)
        } else if let kind = Self.soundsAndFilms.first(where: { $0.matches([UInt8](head)) }) {
            self.init(kind.medium, kind.name)
        } else {
            return nil
        }
    }

    private init(_ medium: Medium, _ name: String) { (self.medium, self.name) = (medium, name) }

    private struct Magic {
        let name: String
        var medium = Medium.sound
        let matches: @Sendable ([UInt8]) -> Bool

        /// - Parameter magics: magic bytes, as the characters of a string, with their offsets.
        init(_ name: String, _ medium: Medium, _ magics: (offset: Int, bytes: String)...) {
            (self.name, self.medium) = (name, medium)
            let magics = magics.map { ($0.offset, $0.bytes.unicodeScalars.map { UInt8($0.value) }) }
            matches = { head in magics.allSatisfy { head.dropFirst($0).starts(with: $1) } }
        }

        init(_ name: String, _ matches: @escaping @Sendable ([UInt8]) -> Bool) {
            (self.name, self.matches) = (name, matches)
        }
    }

    private static let soundsAndFilms: [Magic] = [
        Magic("WAV", .sound, (0, "RIFF"), (8, "WAVE")), Magic("WAV", .sound, (0, "RIFX"), (8, "WAVE")),
        Magic("WAV", .sound, (0, "RF64"), (8, "WAVE")), Magic("W64", .sound, (0, "riff\u{2E}\u{91}\u{CF}\u{11}")),
        Magic("AIFF", .sound, (0, "FORM"), (8, "AIF")), Magic("FLAC", .sound, (0, "fLaC")),
        Magic("Ogg", .sound, (0, "OggS\0")), Magic("MP3") { $0.starts(with: "ID3".utf8) && $0.count > 3 && $0[3] < 16 },
        Magic("AU", .sound, (0, ".snd")),
        Magic("CAF", .sound, (0, "caff\0")), Magic("AMR", .sound, (0, "#!AMR")), Magic("WavPack", .sound, (0, "wvpk")),
        Magic("True Audio", .sound, (0, "TTA1")),
        Magic("SPHERE", .sound, (0, "NIST_1A")), Magic("VOC", .sound, (0, "Creative Voice File")),
        Magic("AC-3", .sound, (0, "\u{0B}\u{77}")), Magic("MP3 or AAC", isMPEGAudio),
        Magic("AVI", .film, (0, "RIFF"), (8, "AVI ")), Magic("FLV", .film, (0, "FLV\u{01}")),
        Magic("WMA or WMV", .film, (0, "\u{30}\u{26}\u{B2}\u{75}\u{8E}\u{66}\u{CF}\u{11}")),
        Magic("MPEG", .film, (0, "\0\0\u{01}\u{BA}")), Magic("MPEG", .film, (0, "\0\0\u{01}\u{B3}")),
        Magic("MPEG-TS", .film, (0, "G"), (188, "G")), Magic("QuickTime", .film, (4, "moov")),
        Magic("QuickTime", .film, (4, "mdat")),
    ]

    /// A frame header: eleven set bits, then fields whose last values are reserved (ISO 11172-3, 2.4.1.3; ADTS:
    /// 13818-7).
    private static func isMPEGAudio(_ head: [UInt8]) -> Bool {
        guard head.count >= 4, head[0] == 0xFF, head[1] & 0xE0 == 0xE0 else { return false }
        if head[1] & 0xF6 == 0xF0 { return head[2] >> 2 & 0xF < 13 }  // ADTS
        let isText16 = head[1] == 0xFE && head[3] == 0  // UTF-16 and its byte-order mark
        return !isText16 && head[1] & 0x18 != 0x08 && head[1] & 0x06 != 0 && head[2] >> 4 != 15
            && head[2] & 0x0C != 0x0C
    }
}
