module oneport.example/worker

go 1.19
