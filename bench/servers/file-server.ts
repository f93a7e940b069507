import type { TransferRequest } from '../load/transfers.ts';

/** A server of files under load: the hub, or a peer beside it. */
export interface FileServerKind {
  readonly name: string;
  /** What its answer to an upload means, and what the bench adds, for the report. */
  readonly keeps: string;
  /** @param directory an empty folder on the disk that is measured */
  start(directory: string): Promise<FileServer>;
}

export interface FileServer {
  /** Of all its processes since they began. */
  cpuSeconds(): number;
  readonly port: number;
  /** PEM */
  readonly ca: string;
  /** Opens an upload of so many blocks. */
  upload(name: string, blocks: number, blockBytes: number): Promise<FileUpload>;
  /** A file of so many bytes is there, to be fetched by this. */
  download(name: string, bytes: number): Promise<TransferRequest>;
  stop(): Promise<void>;
}

export interface FileUpload {
  readonly blocks: readonly TransferRequest[];
  /** Makes them durable, and one file where the server has such: behind the last answer, in the time that is measured. */
  synced(): Promise<void>;
  /** Removes what was uploaded, and ends the upload where the server has such. */
  remove(): Promise<void>;
}
